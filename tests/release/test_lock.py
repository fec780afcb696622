"""The lock: who gets it, when a killed call's is taken over, and what a call does that lost it."""

from typing import Any

import pytest

from ml_pipeline.cluster import writes
from ml_pipeline.cluster.errors import Unreachable
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release import lock
from ml_pipeline.release.lock import LEASE_S, Lock
from tests.clocks import Clock
from tests.release.fake_cluster import FakeCluster

pytestmark = pytest.mark.program  # the client's package

LEASE = ("leases", "toy-release")


class Holders(FakeCluster):
    """A namespace in which time is what a Clock says; `events` happen at their second."""

    def __init__(self, clock: Clock) -> None:
        super().__init__({})
        self.clock = clock
        self.renewing = False
        self.away = 0.0

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        if self.clock.now < self.away:
            raise Unreachable("away", "")
        if self.renewing:
            self.things[LEASE]["spec"]["renewTime"] = f"{self.clock.now}"
        return super().get(kind, name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (lock, writes):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def cluster(clock: Clock) -> Any:
    return Holders(clock)


def killed(cluster: Any) -> None:
    """Leave the lock as a killed call does."""
    Lock(cluster, "toy", "ann", 60)._take()
    cluster.things[LEASE]["metadata"].setdefault("annotations", {})[lock.CALL] = '{"action": "release"}'


def test_a_lock_that_was_given_back_is_free(cluster: Any, clock: Clock) -> None:
    for _ in range(2):
        with Lock(cluster, "toy", "ann", 60) as held:
            held.intend({"action": "release"})
            assert cluster.things[LEASE]["spec"]["holderIdentity"] == held.holder
        assert held.left is None
    assert clock.now == 1000
    assert lock.CALL not in cluster.things[LEASE]["metadata"]["annotations"]


def test_a_killed_calls_lock_is_taken_over_when_nobody_renews_it(cluster: Any, clock: Clock) -> None:
    killed(cluster)
    with Lock(cluster, "toy", "bob", 60) as held:
        assert clock.now - 1000 == pytest.approx(LEASE_S, abs=1)
        assert held.left
        assert held.left.holder.startswith("ann on ")
        assert held.left.call == {"action": "release"}


def test_a_lock_that_is_renewed_is_waited_for(cluster: Any, clock: Clock) -> None:
    killed(cluster)
    cluster.renewing = True
    with (
        pytest.raises(StageFailure, match=r"^ann on .* holds the lock for a release since .*Z$"),
        Lock(cluster, "toy", "bob", 60),
    ):
        pass
    assert clock.now - 1000 == pytest.approx(60, abs=1)


def test_while_the_api_server_is_away_the_holder_could_not_renew_it_either(
    cluster: Any, clock: Clock
) -> None:
    killed(cluster)
    cluster.away = clock.now + 20
    with Lock(cluster, "toy", "bob", 60):
        assert clock.now - 1000 == pytest.approx(20 + LEASE_S, abs=1)


def test_a_call_that_lost_the_lock_writes_nothing_more(cluster: Any, clock: Clock) -> None:
    with Lock(cluster, "toy", "ann", 60) as held:
        clock.sleep(LEASE_S)
        cluster.patch(*LEASE, _change(cluster, "bob"))
        with pytest.raises(StageFailure, match="this call lost the lock of toy to bob"):
            cluster.create("services", {"metadata": {"name": "toy"}})
    assert held.holder != "bob"
    assert cluster.things[LEASE]["spec"]["holderIdentity"] == "bob"
    assert cluster.effects == []


def _change(cluster: Any, holder: str) -> dict[str, Any]:
    version = cluster.things[LEASE]["metadata"]["resourceVersion"]
    return {"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": holder}}
