"""A watch that a kill left unfinished: what the ledger keeps of it, and when it is made again."""

import dataclasses
import math

import pytest

from ml_pipeline.release import ledger, open_watch
from ml_pipeline.release.ledger import FAILED, REPLACED, Entry
from ml_pipeline.release.traffic import Counters
from tests.release.deployments import service

pytestmark = pytest.mark.program  # it imports the cluster's client

SEEN = Counters({200: 90, 500: 10}, {0.005: 80, math.inf: 90}, {"no": 60, "yes": 30})
FIRST = Entry(1, "r/a@sha256:" + "a" * 64, REPLACED, deployment="adult", started=10, ended=20)
OPEN = Entry(2, "r/b@sha256:" + "b" * 64, deployment="adult", started=20, watch=open_watch.kept(SEEN))
BROKEN = Entry(3, "r/c@sha256:" + "c" * 64, FAILED, started=25, ended=26)


def test_the_ledger_keeps_what_it_compares_with() -> None:
    kept = ledger.read_ledger(service((FIRST, OPEN, BROKEN)))
    found = open_watch.find(kept, OPEN.image)
    assert found is not None
    assert found.reference == SEEN
    assert found.entry == OPEN
    assert (found.previous.image, found.previous.outcome) == (FIRST.image, ledger.SERVING)
    assert [entry.revision for entry in found.ledger] == [1, 3]
    assert ledger.serving(found.ledger) == found.previous


def test_it_is_found_only_where_it_serves_and_did_not_end() -> None:
    ended = dataclasses.replace(OPEN, watch=None)
    assert open_watch.find((FIRST, ended), OPEN.image) is None
    assert open_watch.find((FIRST, OPEN), FIRST.image) is None
    assert open_watch.find((OPEN,), OPEN.image) is None  # nothing to go back to
    replaced = ledger.with_served((FIRST, OPEN), Entry(3, BROKEN.image, started=30))
    assert [entry.watch for entry in replaced] == [None, None, None]


def test_what_an_image_does_not_count_and_very_many_classes_are_left_out() -> None:
    many = Counters({200: 1}, None, {str(number): 1 for number in range(1000)})
    assert open_watch.kept(many) == {"codes": {"200": 1}}
    entry = dataclasses.replace(OPEN, watch=open_watch.kept(Counters()))
    found = open_watch.find((FIRST, entry), OPEN.image)
    assert found is not None
    assert found.reference == Counters()
