"""The steps of a release and a rollback, and how a failed one is undone, on a cluster that acts at once."""

import signal
from collections.abc import Iterator

import pytest

from ml_pipeline.cluster import watching
from ml_pipeline.common.document import ReleaseRecord
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release import deploy, prediction
from ml_pipeline.release.manifests import Release
from tests.clocks import Clock
from tests.release.fake_cluster import FakeCluster

pytestmark = pytest.mark.program  # the client's package

DIGESTS = {name: f"registry/toy@sha256:{name * 64}" for name in "abcd"}
GOOD = {DIGESTS["a"]: "1", DIGESTS["b"]: "2", DIGESTS["c"]: "3"}


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Give back the handlers of this process: a deploy, which has its own, ignores signals at its end."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watching, "time", clock)
    monkeypatch.setattr(prediction, "time", clock)
    return clock


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(GOOD)


def settings(image: str = "", version: str | None = None) -> Release:
    return Release("toy", "models", DIGESTS.get(image, ""), version, timeout_s=10)


def release(cluster: FakeCluster, image: str, version: str | None = None) -> ReleaseRecord:
    return deploy.release(cluster, settings(image, version))


def rollback(cluster: FakeCluster) -> ReleaseRecord:
    return deploy.rollback(cluster, settings())


def status(cluster: FakeCluster) -> dict[str, object]:
    return deploy.status(cluster, settings())


def test_a_release_is_created_updated_left_alone_and_rolled_back(cluster: FakeCluster) -> None:
    first = release(cluster, "a", "1")
    assert (first.action, first.revision, first.ready, first.previous_image) == ("created", 1, 2, None)
    assert first.prediction["request"] == {"instances": [{"age": 37}]}
    second = release(cluster, "b", "2")
    assert (second.action, second.revision, second.previous_image) == ("updated", 2, DIGESTS["a"])
    again = release(cluster, "b", "2")
    assert (again.action, again.revision) == ("unchanged", 2)
    back = rollback(cluster)
    assert (back.action, back.image, back.version) == ("rolled-back", DIGESTS["a"], "1")
    assert (back.revision, back.previous_image) == (3, DIGESTS["b"])
    state = status(cluster)
    assert (state["state"], state["image"], state["revision"]) == ("ready", DIGESTS["a"], 3)
    assert state["good"] == [{"image": DIGESTS["a"], "version": "1"}]


def test_a_release_that_never_gets_ready_is_undone(cluster: FakeCluster, clock: Clock) -> None:
    release(cluster, "a", "1")
    started = clock.now
    with pytest.raises(
        Exception, match="pod pod-0 runs, but /ready does not answer 200 after 10 s"
    ) as failure:
        release(cluster, "d")
    cause = str(failure.value)
    assert "(its last line: no weights); the release was undone, and the last good one (sha256:aaa" in cause
    assert clock.now - started == pytest.approx(10, abs=1)
    assert status(cluster)["image"] == DIGESTS["a"]


def test_a_first_release_that_answers_wrongly_leaves_nothing(cluster: FakeCluster) -> None:
    with pytest.raises(StageFailure, match="answers as model version 1, and 2 was released") as failure:
        release(cluster, "a", "2")
    assert "nothing is serving, because no release before it was good" in str(failure.value)
    assert cluster.things == {}
    assert cluster.effects[-2:] == ["delete services", "delete deployments"]


def test_a_rollback_needs_a_good_release_before(cluster: FakeCluster) -> None:
    with pytest.raises(StageFailure, match="there is no release of toy in namespace models to roll back"):
        rollback(cluster)
    release(cluster, "a", "1")
    with pytest.raises(StageFailure, match="there is no good release before this one"):
        rollback(cluster)
    assert status(cluster)["state"] == "ready"
