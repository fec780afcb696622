"""A watch from its first look to its sentence, over pods with planted faults and a clock of its own."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ml_pipeline.common.tolerances import Tolerances
from ml_pipeline.release import watch as module
from ml_pipeline.release.manifests import Release
from ml_pipeline.release.traffic import NOTHING, Counters, Reader
from ml_pipeline.release.watch import TakenBack, Watched, WatchOutcome, watch
from tests.clocks import Clock
from tests.release.pods import Pod, Pods

pytestmark = pytest.mark.program

RELEASE = Release("toy", "models", "toy@sha256:" + "0" * 64, watch_s=60)


class Ticks(Clock):
    """A clock that does something at some times, in seconds since the start."""

    def __init__(self) -> None:
        super().__init__()
        self.start = self.now
        self.plan: list[tuple[float, Callable[[], object]]] = []

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        while self.plan and self.plan[0][0] <= self.now - self.start:
            self.plan.pop(0)[1]()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    ticks = Ticks()
    monkeypatch.setattr(module, "time", ticks)
    return ticks


def reference(*pods: Pod, looks: int = 40) -> Counters:
    reader = Reader(
        Pods({str(number): pod for number, pod in enumerate(pods)}), list(map(str, range(len(pods))))
    )
    for _ in range(looks + 1):
        reader.look()
    return reader.reference()


def watched(
    new: Sequence[Pod], stable: Counters | None, *, pods: Pods | None = None, **options: Any
) -> WatchOutcome:
    """Watch `new` after a rolling update: the old pods are gone."""
    pods = pods or Pods({f"new-{number}": pod for number, pod in enumerate(new)})
    names = [name for name in pods.pods if name.startswith("new")]
    old = [name for name in pods.pods if name.startswith("old")]
    release = dataclasses.replace(RELEASE, **options)
    return watch(Watched(pods, release, stable or NOTHING, old), release, names)


def test_a_release_that_is_as_good_stays_and_the_sentence_has_figures(clock: Ticks) -> None:
    outcome = watched([Pod(), Pod()], reference(Pod(requests=100)))
    assert (outcome.decision, outcome.looks, outcome.seconds) == ("keep", 60, 60.0)
    assert outcome.reason == (
        "the new release is as good as the old one: 3,000 requests in 60 s, "
        "errors, slow answers and class shares compared"
    )
    assert (outcome.requests, outcome.sent, outcome.left_out) == (3000, 0, ())


def test_errors_take_a_release_back_in_seconds(clock: Ticks) -> None:
    outcome = watched([Pod(errors=0.2), Pod(errors=0.2)], reference(Pod()))
    assert outcome.decision == "back"
    assert outcome.seconds <= 6
    assert outcome.reason.startswith("the new release answered ")
    assert " % of " in outcome.reason
    assert "with an error, the old one 0.0 % of " in outcome.reason
    assert outcome.reason.endswith(f"after {outcome.seconds:g} s in production")


def test_a_watch_begins_with_the_first_pod_that_is_ready(clock: Ticks) -> None:
    pods = Pods({"new-0": Pod(errors=0.2), "new-1": Pod()})

    def early(looks: int, pod: str) -> Watched:
        begun = Watched(pods, RELEASE, reference(Pod(requests=100)))
        for _ in range(looks):
            begun.early([pod])
            clock.sleep(0.3)
        return begun

    with pytest.raises(TakenBack, match=r"^the new release answered .* with an error, .* s in production$"):
        early(100, "new-0")
    assert clock.now - clock.start <= 10
    begun = early(10, "new-1")
    pods.pods["new-0"] = Pod()
    outcome = watch(begun, RELEASE, ["new-0", "new-1"])
    assert outcome.decision == "keep"
    assert outcome.requests > 60 * 50, "what was seen early counts"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"slow": 0.5}, "the new release needed more than 5 ms for "),
        ({"yes": 0.95}, "the new release predicted 'yes' for "),
        ({"yes": 0.0}, "the new release predicted 'no' for "),
    ],
)
def test_slow_answers_and_other_classes_take_it_back(clock: Ticks, fault: Any, sentence: str) -> None:
    outcome = watched([Pod(**fault), Pod(**fault)], reference(Pod()))
    assert outcome.decision == "back"
    assert outcome.reason.startswith(sentence)
    accepted = Tolerances(slow=1, classes=1)
    assert watched([Pod(**fault)], reference(Pod()), tolerances=accepted).decision != "back"


def test_errors_that_come_only_after_half_a_minute(clock: Ticks) -> None:
    pods = [Pod(), Pod()]
    clock.plan = [(30, lambda: [setattr(pod, "errors", 0.2) for pod in pods])]
    outcome = watched(pods, reference(Pod(requests=100)))
    assert outcome.decision == "back"
    assert 30 <= outcome.seconds <= 36


def test_a_bad_stable_does_not_block_the_release_that_fixes_it(clock: Ticks) -> None:
    """Its few right answers are of another kind and quicker, which is no reference."""
    bad = reference(Pod(requests=100, errors=0.6, yes=1.0, slow=0.0))
    outcome = watched([Pod(slow=0.4), Pod(slow=0.4)], bad)
    assert outcome.decision == "keep"
    assert outcome.reason.endswith("; the old one answered much more with errors")
    as_bad = watched([Pod(errors=0.6, yes=1.0)], bad)
    assert as_bad.decision != "back"


def test_a_pod_that_was_started_again_once_is_no_fault_and_one_that_flaps_is(clock: Ticks) -> None:
    stable = reference(Pod(requests=100))
    once = [Pod(), Pod()]
    clock.plan = [(10, once[0].restart)]
    assert watched(once, stable).decision == "keep"
    flapping = Pods({"new-0": Pod(), "new-1": Pod()})
    clock.start = clock.now

    def flap(second: int) -> None:
        flapping.down = {"new-0"} if second % 3 else set()
        flapping.pods["new-0"].restart()

    clock.plan = [(second, lambda second=second: flap(second)) for second in range(20, 60)]
    outcome = watched([], stable, pods=flapping)
    assert outcome.decision == "back"
    assert "did not run, or started again, at " in outcome.reason


def test_a_pod_that_hangs_takes_it_back(clock: Ticks) -> None:
    pods = Pods({"new-0": Pod(), "new-1": Pod()})
    clock.plan = [(5, lambda: pods.silent.add("new-0"))]
    outcome = watched([], reference(Pod(requests=100)), pods=pods)
    assert outcome.decision == "back"
    assert "did not run, or started again, at " in outcome.reason


def test_an_api_server_that_is_away_for_a_while_is_no_fault(clock: Ticks) -> None:
    pods = Pods({"new-0": Pod(requests=50)})
    clock.plan = [
        (5, lambda: setattr(pods, "api_is_up", False)),
        (15, lambda: setattr(pods, "api_is_up", True)),
    ]
    assert watched([], reference(Pod(requests=100)), pods=pods).decision == "keep"


def test_old_pods_that_still_serve_are_compared_with_at_the_same_time(clock: Ticks) -> None:
    """Both have errors for a while, as when something that they depend on is away."""
    pods = Pods({"old-0": Pod(requests=25), "new-0": Pod(requests=25)})

    def storm(rate: float) -> None:
        for pod in pods.pods.values():
            pod.errors = rate

    clock.plan = [(10, lambda: storm(0.3)), (20, lambda: storm(0.0))]
    assert watched([], Counters({}, {}, {}), pods=pods).decision != "back"


def test_without_callers_it_sends_the_example_and_counts_it_apart(clock: Ticks) -> None:
    silent = [Pod(requests=0), Pod(requests=0)]
    outcome = watched(silent, reference(Pod()))
    assert outcome.decision == "keep"
    assert outcome.requests == 0
    assert outcome.sent > 200
    assert outcome.reason == (
        f"the new release is as good as the old one: 0 requests and {outcome.sent:.0f} that the watch "
        "sent in 60 s, errors on sent requests compared"
    )
    assert silent[0].asked[0] == {"instances": [{"age": 37}]}
    broken = watched([Pod(requests=0, code=500)], reference(Pod()))
    assert broken.decision == "back"
    assert "100.0 % of 10 requests that the watch sent with an error" in broken.reason


def test_an_older_image_that_counts_less_is_compared_by_what_it_counts(clock: Ticks) -> None:
    outcome = watched([Pod(), Pod()], reference(Pod(requests=100, only_codes=True)))
    assert (outcome.decision, outcome.left_out) == ("keep", ("slow answers", "class shares"))
    assert watched([Pod(errors=0.2)], reference(Pod(only_codes=True))).decision == "back"


def test_other_classes_than_the_old_ones_are_left_out(clock: Ticks) -> None:
    old = reference(Pod())
    renamed = Counters(old.codes, old.buckets, {"0": 200, "1": 100})
    assert watched([Pod(), Pod()], renamed).left_out == ("class shares",)


def test_too_few_requests_are_not_enough_evidence(clock: Ticks) -> None:
    outcome = watched([Pod(requests=2)], reference(Pod()), watch_s=20)
    assert outcome.decision == "insufficient"
    assert outcome.reason.startswith(
        "there is not enough evidence: 40 requests in 20 s, and errors may differ by -"
    )
    alone = watched([Pod()], None)
    assert alone.decision == "insufficient"
    assert (
        alone.reason.endswith("3,000 requests in 60 s, and nothing could be compared")
        or "1,500" in alone.reason
    )


def test_all_new_pods_gone(clock: Ticks) -> None:
    pods = Pods({"new-0": Pod()})
    clock.plan = [(3, pods.pods.clear)]
    assert watched([], reference(Pod()), pods=pods).decision == "insufficient"
