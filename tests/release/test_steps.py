"""The steps of a release and a rollback, and how a failed one is undone, on a cluster that acts at once."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from ml_pipeline.cluster import watching, writes
from ml_pipeline.cluster.errors import Unreachable
from ml_pipeline.common.document import ReleaseRecord
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release import calls, change, deploy, ledger, lock, prediction, steps
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
    for module in (watching, writes, prediction, lock, steps, calls, change):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(GOOD)


def settings(image: str = "", version: str | None = None, **more: Any) -> Release:
    return Release("toy", "models", DIGESTS.get(image, ""), version, timeout_s=10, **more)


def release(
    cluster: FakeCluster, image: str, version: str | None = None, *, force: bool = False, **more: Any
) -> ReleaseRecord:
    return deploy.change(cluster, settings(image, version, **more), "release", force=force)  # type: ignore[arg-type]


def rollback(cluster: FakeCluster, to: str = "", *, force: bool = False, **more: Any) -> ReleaseRecord:
    return deploy.change(cluster, settings(**more), "rollback", to, force=force)  # type: ignore[arg-type]


def status(cluster: FakeCluster) -> dict[str, object]:
    return deploy.status(cluster, settings())  # type: ignore[arg-type]


def test_a_release_is_created_updated_left_alone_and_rolled_back(cluster: FakeCluster) -> None:
    first = release(cluster, "a", "1")
    assert (first.action, first.revision, first.ready, first.previous_image) == ("created", 1, 2, None)
    assert first.prediction["request"] == {"instances": [{"age": 37}]}
    assert cluster.effects == ["apply deployments", "create services"]
    second = release(cluster, "b", "2")
    assert (second.action, second.revision, second.previous_image) == ("updated", 2, DIGESTS["a"])
    assert cluster.effects[2:] == ["apply deployments", "patch services"]
    again = release(cluster, "b", "2")
    assert (again.action, again.revision) == ("unchanged", 2)
    assert len(cluster.effects) == 4
    back = rollback(cluster)
    assert (back.action, back.image, back.version) == ("rolled-back", DIGESTS["a"], "1")
    assert (back.revision, back.previous_image) == (3, DIGESTS["b"])
    state = status(cluster)
    assert (state["state"], state["image"], state["revision"]) == ("ready", DIGESTS["a"], 3)
    assert state["good"] == [{"image": DIGESTS["a"], "version": "1"}]


def test_blue_green_moves_the_traffic_in_one_write_and_keeps_the_old_pods(
    cluster: FakeCluster, clock: Clock
) -> None:
    release(cluster, "a", "1")  # rolling: what serves is taken over without a change of its pods
    del cluster.effects[:]
    started = clock.now
    record = release(cluster, "b", "2", strategy="blue-green", keep_s=60)
    assert (record.action, record.deployment, record.previous_image) == ("updated", "toy-blue", DIGESTS["a"])
    assert cluster.effects == ["apply deployments", "patch services", "patch deployments"]
    assert clock.now - started == pytest.approx(60, abs=2)
    assert cluster.things["deployments", "toy"]["spec"]["replicas"] == 0
    assert release(cluster, "c", "3", strategy="blue-green", keep_s=0).deployment == "toy-green"
    assert release(cluster, "b", "2", keep_s=0).deployment == "toy"
    assert status(cluster)["deployment"] == "toy"


def test_a_blue_green_rollback_to_pods_that_still_run_is_one_write(cluster: FakeCluster) -> None:
    release(cluster, "a", "1", strategy="blue-green")
    calls.release(cluster, settings("b", "2", strategy="blue-green"))  # type: ignore[arg-type]
    del cluster.effects[:]
    record = calls.rollback(cluster, settings(strategy="blue-green"))  # type: ignore[arg-type]
    assert (record.deployment, record.image) == ("toy-blue", DIGESTS["a"])
    assert [effect for effect in cluster.effects if effect.endswith("services")] == ["patch services"]


@pytest.mark.parametrize("strategy", ["rolling", "blue-green"])
def test_a_release_that_never_gets_ready_is_undone(cluster: FakeCluster, clock: Clock, strategy: str) -> None:
    release(cluster, "a", "1")
    started = clock.now
    with pytest.raises(StageFailure, match="runs, but /ready does not answer 200 after 10 s") as failure:
        release(cluster, "d", strategy=strategy)
    cause = str(failure.value)
    assert "(its last line: no weights); the release was undone, and the last good one (sha256:aaa" in cause
    assert clock.now - started == pytest.approx(10, abs=1)
    assert status(cluster)["image"] == DIGESTS["a"]
    assert ("deployments", "toy-blue") not in cluster.things
    outcomes = [entry.outcome for entry in ledger.read_ledger(cluster.get("services", "toy"))]
    assert outcomes == ["serving", "failed"]


def test_an_undo_waits_for_an_api_server_for_longer_than_a_release(
    cluster: FakeCluster, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(cluster, "a", "1")
    back = clock.now + 100

    def get(kind: str, name: str) -> Any:
        if back - 91 < clock.now < back:
            raise Unreachable("the API server is not reachable", "check it")
        return FakeCluster.get(cluster, kind, name)

    monkeypatch.setattr(cluster, "get", get)
    with pytest.raises(StageFailure, match=r"the release was undone, and the last good one \(sha256:aaa"):
        release(cluster, "d")
    assert clock.now > back
    assert status(cluster)["image"] == DIGESTS["a"]


def test_a_first_release_that_answers_wrongly_leaves_nothing(cluster: FakeCluster) -> None:
    with pytest.raises(StageFailure, match="answers as model version 1, and 2 was released") as failure:
        release(cluster, "a", "2")
    assert "nothing is serving, because nothing served before it" in str(failure.value)
    assert list(cluster.things) == [("leases", "toy-release")]
    assert cluster.effects == ["apply deployments", "delete deployments"]


def test_a_rollback_needs_a_good_release_before(cluster: FakeCluster) -> None:
    with pytest.raises(StageFailure, match="there is no release of toy in namespace models to roll back"):
        rollback(cluster)
    release(cluster, "a", "1")
    with pytest.raises(StageFailure, match="there is no good release before this one"):
        rollback(cluster)
    assert status(cluster)["state"] == "ready"


def test_a_rollback_goes_where_it_is_told(cluster: FakeCluster) -> None:
    for image, version in (("a", "1"), ("b", "2"), ("c", "3")):
        release(cluster, image, version)
    with pytest.raises(StageFailure, match=r"has no release '7'"):
        rollback(cluster, "7")
    with pytest.raises(StageFailure, match=r"what serves is already sha256:c+ \(revision 3\)"):
        rollback(cluster, "3")
    assert rollback(cluster, "1").image == DIGESTS["a"]
    assert rollback(cluster, DIGESTS["b"].partition("@")[2]).image == DIGESTS["b"]


def test_a_digest_that_was_taken_back_is_released_by_force_only(cluster: FakeCluster) -> None:
    release(cluster, "a", "1")
    release(cluster, "b", "2")
    rollback(cluster)
    with pytest.raises(StageFailure, match=r"sha256:b+ was taken back as revision 2"):
        release(cluster, "b", "2")
    with pytest.raises(StageFailure, match="was taken back as revision 2"):
        rollback(cluster, "2")
    assert release(cluster, "b", "2", force=True).action == "updated"
    assert release(cluster, "c", "3").action == "updated"
    assert rollback(cluster).image == DIGESTS["b"]  # the mark is gone: it has served well


def test_a_rollback_whose_replicaset_is_gone_comes_from_the_image(cluster: FakeCluster) -> None:
    release(cluster, "a", "1")
    release(cluster, "b", "2")
    cluster.replicasets = [each for each in cluster.replicasets if each["metadata"]["name"] == "toy-1"]
    assert rollback(cluster).image == DIGESTS["a"]


def test_the_pods_of_a_scaled_deployment_stay_until_the_end(cluster: FakeCluster) -> None:
    release(cluster, "a", "1")
    cluster.things["deployments", "toy"]["spec"]["replicas"] = 4
    record = release(cluster, "b", "2")
    assert (record.ready, record.replicas) == (4, 2)
    assert cluster.things["deployments", "toy"]["spec"]["replicas"] == 2


def test_an_autoscalers_number_of_pods_stays(cluster: FakeCluster) -> None:
    release(cluster, "a", "1")
    deployment = cluster.things["deployments", "toy"]
    deployment["spec"]["replicas"] = 4
    fields = {"f:spec": {"f:replicas": {}}}
    manager = {"manager": "kube-controller-manager", "subresource": "scale", "fieldsV1": fields}
    deployment["metadata"]["managedFields"] = [manager]
    release(cluster, "b", "2")
    assert cluster.things["deployments", "toy"]["spec"]["replicas"] == 4


def test_a_paused_rollout_is_refused_before_anything_changes(cluster: FakeCluster) -> None:
    release(cluster, "a", "1")
    cluster.things["deployments", "toy"]["spec"]["paused"] = True
    del cluster.effects[:]
    with pytest.raises(StageFailure, match="the rollout of Deployment toy is paused"):
        release(cluster, "b", "2")
    assert cluster.effects == []


def test_twice_the_pods_that_a_quota_can_not_hold_are_refused_before_anything_starts(
    cluster: FakeCluster,
) -> None:
    release(cluster, "a", "1")
    status = {"hard": {"pods": "3"}, "used": {"pods": "2"}}
    cluster.all["resourcequotas"] = [{"metadata": {"name": "few"}, "status": status}]
    del cluster.effects[:]
    with pytest.raises(
        StageFailure, match="needs 2 more pods for a while, and quota few has 1 of 3 pods left"
    ):
        release(cluster, "b", "2", strategy="blue-green")
    assert cluster.effects == []
    assert release(cluster, "b", "2").action == "updated"
