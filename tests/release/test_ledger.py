"""The ledger: which releases there were, how they ended, and where a rollback goes."""

import dataclasses

import pytest

from ml_pipeline.release import history, ledger
from ml_pipeline.release.ledger import FAILED, REPLACED, ROLLED_BACK, SERVING, TAKEN_BACK, Entry, Ledger
from tests.release.deployments import SETS, deployment, old_annotation, service


def entry(letter: str, revision: int, outcome: str = REPLACED, started: float = 100) -> Entry:
    return Entry(revision, f"registry/adult@sha256:{letter * 64}", outcome, letter, started=started)


A, B = entry("a", 1), entry("b", 2, SERVING, 200)


def shown(releases: Ledger) -> str:
    return " ".join(f"{each.revision}{each.version}:{each.outcome}" for each in releases)


def test_it_survives_the_annotation() -> None:
    assert ledger.read_ledger(service((A, B))) == (A, B)
    assert ledger.read_ledger(None) == ()


def test_an_entry_of_a_newer_version_is_read() -> None:
    newer = service((A,))
    annotations = newer["metadata"]["annotations"]
    annotations[ledger.LEDGER] = annotations[ledger.LEDGER].replace("{", '{"signed_by":"me",')
    assert ledger.read_ledger(newer) == (A,)


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"image": "x"}]', "3"])
def test_without_one_that_can_be_read_an_older_versions_is_taken(text: str) -> None:
    broken = service(())
    broken["metadata"]["annotations"][ledger.LEDGER] = text
    old = deployment()
    old["metadata"]["annotations"] |= old_annotation("b", "a")
    taken = ledger.read_ledger(broken, old, SETS)
    assert shown(taken) == "1a:replaced 2b:serving"
    assert taken[-1].digest == f"sha256:{'b' * 64}"
    old["metadata"]["annotations"][ledger.OLD_LEDGER] = text
    assert ledger.read_ledger(broken, old, SETS) == ()


def test_what_served_ends_when_the_next_one_serves() -> None:
    served = ledger.with_served((A, B), entry("c", 3, SERVING, 300))
    assert shown(served) == "1a:replaced 2b:replaced 3c:serving"
    assert served[1].ended == 300
    assert shown(ledger.with_served((A, B), entry("a", 3, SERVING), ROLLED_BACK)) == (
        "1a:replaced 2b:rolled-back 3a:serving"
    )


def test_it_ends_and_failures_push_out_nothing_good() -> None:
    releases: Ledger = (A, B)
    for number in range(ledger.REMEMBERED + 5):
        releases = ledger.with_ended(releases, entry("f", number + 3, FAILED))
    assert len(releases) == ledger.REMEMBERED
    assert releases[:2] == (A, B)
    for number in range(100, 130):
        releases = ledger.with_served(releases, entry("c", number))
    assert len(releases) == ledger.REMEMBERED
    assert A not in releases


@pytest.mark.parametrize(
    ("releases", "live", "back"),
    [
        ((), "a", None),
        ((A,), "a", None),
        ((A, B), "b", 1),
        ((A, B), "c", 2),  # what runs was never good: its call was killed
        ((A, entry("b", 2, ROLLED_BACK), entry("a", 3, SERVING)), "a", None),  # b is marked
        ((A, entry("b", 2), entry("f", 3, FAILED), entry("c", 4, SERVING)), "c", 2),
        ((A, entry("b", 2), entry("a", 3), entry("c", 4, SERVING)), "c", 3),
        ((A, entry("b", 2), entry("a", 3, SERVING)), "a", 2),
    ],
)
def test_where_a_rollback_goes(releases: Ledger, live: str, back: int | None) -> None:
    found = ledger.before(releases, entry(live, 0).image)
    assert (found.revision if found else None) == back


def test_a_mark_lasts_until_the_digest_has_served_well_again() -> None:
    taken = (A, entry("b", 2, TAKEN_BACK))
    assert ledger.mark(taken, A.digest) is None
    assert ledger.mark(taken, B.digest) == taken[1]
    assert ledger.mark((*taken, entry("b", 3, FAILED)), B.digest) == taken[1]
    assert ledger.mark((*taken, entry("b", 3, SERVING)), B.digest) is None


@pytest.mark.parametrize(
    ("to", "revision"),
    [
        ("1", 1),
        ("7", None),
        (f"sha256:{'b' * 64}", 2),
        (f"registry/adult@sha256:{'b' * 64}", 2),
        ("b" * 12, 2),
        ("b" * 11, None),
        ("latest", None),
        ("", None),
    ],
)
def test_a_release_is_named_by_revision_or_digest(to: str, revision: int | None) -> None:
    found = ledger.named((A, B, entry("b", 3, FAILED)), to)
    assert (found.revision if found else None) == revision


def test_the_history_says_how_long_each_served() -> None:
    releases = ledger.with_served((A, B), dataclasses.replace(entry("c", 3, SERVING, 300), by="ann"))
    rows = history.as_rows((*releases, entry("f", 4, FAILED)), now=350)
    assert [(row["revision"], row["served_s"]) for row in rows] == [(4, None), (3, 50), (2, 100), (1, None)]
    lines = history.table(rows).splitlines()
    assert lines[0].split()[:3] == ["REVISION", "OUTCOME", "DIGEST"]
    assert lines[2].split()[:6] == ["3", "serving", "c" * 12, "c", "1970-01-01T00:05:00Z", "50"]
    assert "ann" in lines[2]
