"""A release that the watch judges: what stays, what is taken back, and what the ledger says of it."""

from typing import Any

import pytest

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release import calls, ledger, state
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

    def ask(self, pod: str, port: int, path: str, body: object = None) -> tuple[int, bytes]:
        if path != "/metrics":
            return super().ask(pod, port, path, body)
        (image,) = (each["image"] for each in self._pods() if each["metadata"]["name"] == pod)
        new = Pod(requests=self.requests, errors=self.errors.get(image, 0.0))
        return 200, self.servers.setdefault(f"{pod} {image}", new).text().encode()


@pytest.fixture(autouse=True)
def time_of_watches(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:  # noqa: F811
    monkeypatch.setattr(watching, "time", clock)


def release(cluster: Observed, image: str, **more: Any) -> Any:
    return unwatched.release(cluster, image, **{"watch_s": 30, "keep_s": 0, **more})


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


def test_a_release_that_is_as_good_stays_and_its_record_has_the_figures() -> None:
    cluster = Observed({}, requests=500)
    release(cluster, "a")
    record = release(cluster, "b")
    assert record.action == "updated"
    assert record.watch["decision"] == "keep"
    assert record.watch["reason"].startswith("the new release is as good as the old one: ")
    assert live(cluster) == DIGESTS["b"]
    back = unwatched.rollback(cluster, watch_s=30, keep_s=0)
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


def test_what_served_before_is_not_watched_again() -> None:
    cluster = Observed({})
    release(cluster, "a")
    assert (
        calls.release(cluster, Release("toy", "models", DIGESTS["a"], timeout_s=10, watch_s=30)).watch == {}
    )  # type: ignore[arg-type]
