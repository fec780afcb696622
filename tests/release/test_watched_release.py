"""A release that the watch judges: what stays, what is taken back, and what the ledger says of it."""

from typing import Any

import pytest

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release import calls, change, ledger, state
from ml_pipeline.release import watch as watching
from ml_pipeline.release.manifests import Release
from tests.clocks import Clock
from tests.release import test_steps as unwatched
from tests.release.fake_cluster import FakeCluster
from tests.release.pods import Pod
from tests.release.test_steps import DIGESTS, GOOD, clock, signals  # noqa: F401 - fixtures

pytestmark = pytest.mark.program  # the client's package


class Observed(FakeCluster):
    """A cluster whose pods have the counters of the image's server, with the errors of their image."""

    def __init__(self, errors: dict[str, float], requests: int = 50) -> None:
        super().__init__(GOOD)
        self.errors, self.requests = errors, requests
        self.servers: dict[str, Pod] = {}

    def ask(self, pod: str, port: int, path: str, body: object = None, **_: object) -> tuple[int, bytes]:
        if path != "/metrics":
            return super().ask(pod, port, path, body)
        (image,) = (each["image"] for each in self._pods() if each["metadata"]["name"] == pod)
        new = Pod(requests=self.requests, errors=self.errors.get(image, 0.0))
        return 200, self.servers.setdefault(f"{pod} {image}", new).text().encode()


@pytest.fixture(autouse=True)
def time_of_watches(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:  # noqa: F811
    monkeypatch.setattr(watching, "time", clock)


def release(cluster: Observed, image: str, **more: Any) -> Any:
    return unwatched.release(cluster, image, **{"watch_s": 10, "keep_s": 0, **more})


def live(cluster: Observed) -> str:
    now = state.read(cluster, "toy")  # type: ignore[arg-type]
    serving = ledger.serving(now.ledger)
    assert serving is not None
    return serving.image


@pytest.mark.parametrize("strategy", ["rolling", "blue-green"])
def test_a_model_that_answers_errors_in_production_ends_with_the_old_one(strategy: str) -> None:
    cluster = Observed({DIGESTS["b"]: 0.2}, requests=500)
    first = release(cluster, "a", strategy=strategy)
    assert first.watch == {}  # there is nothing to compare with
    with pytest.raises(StageFailure) as failure:
        release(cluster, "b", strategy=strategy)
    assert failure.value.cause.startswith("the new release answered ")
    assert "with an error, the old one 0.0 % of " in failure.value.cause
    assert failure.value.cause.endswith(
        f"; the release was undone, and the last good one ({DIGESTS['a'].partition('@')[2]}) is serving"
    )
    assert failure.value.hint == "fix the model; the same image needs --force"
    assert live(cluster) == DIGESTS["a"]
    taken_back = state.read(cluster, "toy").ledger[-1]  # type: ignore[arg-type]
    assert (taken_back.image, taken_back.outcome) == (DIGESTS["b"], ledger.TAKEN_BACK)
    assert taken_back.why.startswith("the new release answered ")
    with pytest.raises(StageFailure, match="was taken back as revision 2: the new release answered"):
        release(cluster, "b", strategy=strategy)


def test_a_bad_model_is_found_before_all_pods_are_ready() -> None:
    class Slow(Observed):
        """Of image b only one pod gets ready."""

        def _roll(self, name: str, deployment: Any) -> None:
            super()._roll(name, deployment)
            if self._image(deployment) == DIGESTS["b"]:
                deployment["status"]["availableReplicas"] = 1

    cluster = Slow({DIGESTS["b"]: 0.2}, requests=100)
    release(cluster, "a")
    with pytest.raises(StageFailure, match=r"with an error, the old one 0\.0 % of .* \(sha256:a+\) is serv"):
        release(cluster, "b")
    assert live(cluster) == DIGESTS["a"]
    with pytest.raises(StageFailure, match="was taken back as revision 2"):
        release(cluster, "b")


def test_a_release_that_is_as_good_stays_and_its_record_has_the_figures() -> None:
    cluster = Observed({}, requests=500)
    release(cluster, "a")
    record = release(cluster, "b")
    assert record.action == "updated"
    assert record.watch["decision"] == "keep"
    assert record.watch["reason"].startswith("the new release is as good as the old one: ")
    assert live(cluster) == DIGESTS["b"]
    back = unwatched.rollback(cluster, watch_s=10, keep_s=0)
    assert back.watch == {}  # it served well


def test_not_enough_evidence_is_said_and_the_settings_decide() -> None:
    cluster = Observed({}, requests=1)
    release(cluster, "a")
    kept = release(cluster, "b")
    assert kept.watch["decision"] == "insufficient"
    assert kept.notes[-1].startswith("the new release stays, although there is not enough evidence: ")
    with pytest.raises(StageFailure, match=r"there is not enough evidence: .* \(sha256:b+\) is serving"):
        release(cluster, "c", insufficient="back")
    assert live(cluster) == DIGESTS["b"]
    assert release(cluster, "c").action == "updated"  # it was not worse, so it needs no --force


class Killed(BaseException):
    """What a kill does to a call: nothing of it runs any more."""


def kill_in_watch(cluster: Observed, monkeypatch: pytest.MonkeyPatch, image: str, **more: Any) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(change, "watch", die)
        with pytest.raises(Killed):
            release(cluster, image, **more)


@pytest.mark.parametrize("strategy", ["rolling", "blue-green"])
def test_a_watch_that_was_killed_is_made_again_for_its_whole_time(
    strategy: str,
    clock: Clock,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Observed({}, requests=500)
    release(cluster, "a", strategy=strategy)
    kill_in_watch(cluster, monkeypatch, "b", strategy=strategy)
    del cluster.effects[:]
    started = clock.now
    record = release(cluster, "b", strategy=strategy)
    assert clock.now - started >= 10
    assert (record.action, record.revision, record.watch["decision"]) == ("watched", 2, "keep")
    assert record.notes[-1] == (
        "the watch of revision 2 did not end, because its call was killed; it is watched again, for 10 s"
    )
    assert release(cluster, "b", strategy=strategy).action == "unchanged"
    assert "create services" not in cluster.effects
    assert [entry.outcome for entry in state.read(cluster, "toy").ledger] == ["replaced", "serving"]  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", ["rolling", "blue-green"])
@pytest.mark.parametrize("is_kept", [True, False])
def test_what_turns_bad_after_the_kill_is_taken_back(
    strategy: str, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Observed({DIGESTS["b"]: 0.2}, requests=500)
    release(cluster, "a", strategy=strategy)
    kill_in_watch(cluster, monkeypatch, "b", strategy=strategy)
    if strategy == "blue-green" and not is_kept:
        cluster.things["deployments", "toy-blue"]["spec"]["replicas"] = 0
    with pytest.raises(StageFailure, match=r"with an error, the old one 0\.0 % of .* \(sha256:a+\) is serv"):
        release(cluster, "b", strategy=strategy)
    assert live(cluster) == DIGESTS["a"]
    status = unwatched.status(cluster)
    assert (status["state"], status["ready"], status["image"]) == ("ready", 2, DIGESTS["a"])
    idle = cluster.things.get(("deployments", "toy-green"))
    assert idle is None or idle["spec"]["replicas"] == 0
    with pytest.raises(StageFailure, match="was taken back as revision 2"):
        release(cluster, "b", strategy=strategy)


@pytest.mark.parametrize(("first", "then"), [("rolling", "blue-green"), ("blue-green", "rolling")])
def test_it_is_watched_to_the_end_before_a_change_of_strategy(
    first: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for errors, image in ((0.5, "b"), (0.0, "c")):
        cluster = Observed({DIGESTS[image]: errors}, requests=60)
        release(cluster, "a", strategy=first)
        kill_in_watch(cluster, monkeypatch, image, strategy=first)
        if errors:
            with pytest.raises(StageFailure, match=r"with an error, the old one 0\.0 % of .* \(sha256:a+\)"):
                release(cluster, image, strategy=then)
            assert live(cluster) == DIGESTS["a"]
        else:
            record = release(cluster, image, strategy=then)
            assert (record.action, record.deployment == "toy") == ("updated", then == "rolling")
            assert "it is watched again, for 10 s" in record.notes[0]
            assert release(cluster, image, strategy=then).action == "unchanged"


def test_another_image_or_no_watch_does_not_watch_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Observed({}, requests=500)
    release(cluster, "a")
    kill_in_watch(cluster, monkeypatch, "b")
    assert release(cluster, "b", watch_s=0).action == "unchanged"
    record = release(cluster, "c")
    assert (record.action, record.previous_image) == ("updated", DIGESTS["b"])
    assert release(cluster, "c").action == "unchanged"


def test_what_served_before_is_not_watched_again() -> None:
    cluster = Observed({})
    release(cluster, "a")
    assert (
        calls.release(cluster, Release("toy", "models", DIGESTS["a"], timeout_s=10, watch_s=10)).watch == {}
    )  # type: ignore[arg-type]
