"""Writes that are made again, and manifests without what others set."""

from typing import Any

import pytest

from ml_pipeline.cluster import writes
from ml_pipeline.cluster.errors import Conflict, Refused, Unreachable
from ml_pipeline.common.outcome import StageFailure
from tests.clocks import Clock

pytestmark = pytest.mark.program  # the client's package

MANIFEST: dict[str, Any] = {
    "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "a", "other": "b"}},
    "spec": {"replicas": 2, "containers": [{"name": "model", "image": "x", "limits": {"memory": "1Gi"}}]},
}


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        (".spec.replicas", ("spec", "replicas")),
        (".metadata.labels.app.kubernetes.io/name", ("metadata", "labels", "app.kubernetes.io/name")),
        ('.spec.containers[name="model"].image', ("spec", "containers", 0, "image")),
        ('.spec.containers[name="model"].limits.memory', ("spec", "containers", 0, "limits", "memory")),
    ],
)
def test_a_field_is_left_out_by_its_path(path: str, gone: tuple[Any, ...]) -> None:
    manifest: Any = writes.without(MANIFEST, path)
    before: Any = MANIFEST
    for key in gone[:-1]:
        manifest, before = manifest[key], before[key]
    assert manifest == {key: value for key, value in before.items() if key != gone[-1]}


@pytest.mark.parametrize(
    "path", [".spec.paused", '.spec.containers[name="other"].image', "", ".spec.containers[0]"]
)
def test_a_path_that_is_not_there_changes_nothing(path: str) -> None:
    assert writes.without(MANIFEST, path) == MANIFEST


class Applied:
    """An API server where others own fields; `applied` are the manifests it took."""

    def __init__(self, *conflicts: Conflict) -> None:
        self.conflicts = conflicts
        self.applied: list[Any] = []

    def apply(self, _kind: str, manifest: Any, *, force: bool = False, **_: object) -> Any:
        if self.conflicts and not force:
            raise Refused("conflicts", "", 409, self.conflicts)
        self.applied.append((manifest, force))
        return manifest


def test_what_another_set_stays_and_what_is_own_is_taken_over() -> None:
    image, memory = '.spec.containers[name="model"].image', '.spec.containers[name="model"].limits.memory'
    cluster: Any = Applied(Conflict(image, "kubectl-set"), Conflict(memory, "vpa"))
    writes.apply_own(cluster, "deployments", MANIFEST, lambda field: field == image)
    ((manifest, force),) = cluster.applied
    assert force
    assert manifest["spec"]["containers"] == [{"name": "model", "image": "x", "limits": {}}]


def test_nothing_is_forced_without_a_conflict() -> None:
    cluster: Any = Applied()
    writes.apply_own(cluster, "deployments", MANIFEST, lambda _field: True)
    assert cluster.applied == [(MANIFEST, False)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(writes, "time", clock)
    return clock


def test_a_conflict_or_a_lost_answer_is_tried_again(clock: Clock) -> None:
    answers = iter([Refused("changed", "", 409), Unreachable("away", ""), None])

    def attempt() -> str:
        if failure := next(answers):
            raise failure
        return "done"

    assert writes.persistently(attempt) == "done"


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        (Unreachable("away", ""), writes.BLIND_S),
        (Refused("changed", "", 409), writes.BLIND_S),
        (Refused("no", "", 403), 0),
        (Refused("others", "", 409, (Conflict("a", "b"),)), 0),
    ],
)
def test_how_long_it_is_tried(clock: Clock, failure: StageFailure, seconds: float) -> None:
    def attempt() -> None:
        raise failure

    with pytest.raises(type(failure)):
        writes.persistently(attempt)
    assert clock.now - 1000 == pytest.approx(seconds, abs=1)
