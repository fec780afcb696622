"""Which releases were good, and where a rollback goes."""

import pytest

from ml_pipeline.release import history
from ml_pipeline.release.history import GoodRelease
from tests.release.deployments import SETS, deployment

A, B, C = (GoodRelease(f"adult-{letter}", f"image-{letter}", letter, 2, 60) for letter in "abc")


def test_history_survives_the_annotation() -> None:
    assert history.history(deployment((B, A))) == (B, A)
    assert history.history(None) == ()


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"image": "x"}]', "3"])
def test_an_annotation_that_can_not_be_read_is_an_empty_history(text: str) -> None:
    changed = deployment()
    changed["metadata"]["annotations"][history.GOOD] = text
    assert history.history(changed) == ()


def test_a_history_of_a_newer_version_is_read() -> None:
    newer = deployment((A,))
    annotations = newer["metadata"]["annotations"]
    annotations[history.GOOD] = annotations[history.GOOD].replace("{", '{"signed_by": "me", ')
    assert history.history(newer) == (A,)


def test_history_holds_each_replicaset_once_and_ends() -> None:
    assert history.remember((B, A), A) == (A, B)
    assert history.remember((A, B), A) == (A, B)
    many = tuple(GoodRelease(f"adult-{i}", "", None, 1, 60) for i in range(history.REMEMBERED))
    assert history.remember(many, A) == (A, *many[:-1])


@pytest.mark.parametrize(
    ("good", "back"),
    [
        ((), ()),
        ((B,), ()),  # the live one is the first
        ((B, A), (A,)),
        ((A,), (A,)),  # the live one, b, was never good: killed half-way
        ((C, B, A), (A,)),  # someone went back to b by hand
        ((B, C, A), (A,)),  # c's ReplicaSet is gone
    ],
)
def test_where_a_rollback_goes(good: tuple[GoodRelease, ...], back: tuple[GoodRelease, ...]) -> None:
    assert history.rollback_history(deployment(good), SETS) == back


def test_a_template_is_taken_from_its_replicaset_as_it_ran() -> None:
    template = history.template(A, SETS)
    assert template == {"metadata": {"labels": {"app.kubernetes.io/name": "adult"}}, "spec": {"image": "a"}}
