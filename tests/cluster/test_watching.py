"""The loop that waits for pods, on a clock that only its pauses move."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pytest

from ml_pipeline.cluster import watching
from ml_pipeline.cluster.errors import Unreachable
from ml_pipeline.cluster.pods import Failed, Progressing
from ml_pipeline.common.outcome import StageFailure
from tests.clocks import Clock

WAITING, DONE = Progressing("1 of 2 pods ready"), "done"
NO_ROOM = Failed("no node can take pod one", "add a node", patience_s=30)

State = Progressing | Failed | Unreachable | str


class Log:
    """What pods wrote last."""

    def last_log_line(self, pod: str) -> str:
        return f"{pod} broke"


@dataclass
class Cluster:
    """States, one at each look."""

    states: Iterator[State]

    def look(self, _seconds: float) -> Progressing | Failed | str:
        state = next(self.states)
        if isinstance(state, Unreachable):
            raise state
        return state


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watching, "time", clock)
    return clock


def watch(states: Iterable[State], poll_s: float = 1, prefix: str = "") -> str:
    cluster = Cluster(iter(states))
    return watching.watch(Log(), cluster.look, poll_s=poll_s, blind_s=30, prefix=prefix)


def test_a_result_ends_it_and_progress_is_printed_once(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    states = [WAITING, WAITING, Progressing("2 of 2 pods ready"), DONE]
    assert watch(states, prefix="deploy: ") == DONE
    assert capsys.readouterr().out == "deploy: 1 of 2 pods ready\ndeploy: 2 of 2 pods ready\n"
    assert clock.now == 1003


def test_look_gets_the_seconds_since_the_start(clock: Clock) -> None:
    seen: list[float] = []

    def look(seconds: float) -> Progressing | Failed | str:
        seen.append(seconds)
        return DONE if len(seen) == 3 else WAITING

    assert watching.watch(Log(), look, poll_s=2, blind_s=30) == DONE
    assert seen == [0, 2, 4]


def test_a_failure_without_patience_counts_at_once(clock: Clock) -> None:
    with pytest.raises(StageFailure) as failure:
        watch([WAITING, Failed("pod one ran out of memory", "raise the limit")])
    assert (failure.value.cause, failure.value.hint) == ("pod one ran out of memory", "raise the limit")


def test_a_failure_that_passes_in_time_does_not_count(clock: Clock) -> None:
    assert watch([*[NO_ROOM] * 30, WAITING, DONE]) == DONE


def test_a_failure_that_lasts_counts(clock: Clock) -> None:
    with pytest.raises(StageFailure, match="no node can take"):
        watch(itertools.repeat(NO_ROOM))
    assert clock.now == 1030


def test_another_pod_s_failure_of_the_same_kind_is_the_same(clock: Clock) -> None:
    others = (Failed(f"no node can take pod {number}", "add a node", 30) for number in itertools.count())
    with pytest.raises(StageFailure, match="pod 30"):
        watch(others)


def test_failures_with_progress_between_them_are_counted_apart(clock: Clock) -> None:
    """A training whose pods are lost twice has not waited since the first loss: its progress is the same."""
    assert watch([WAITING, *[NO_ROOM] * 20, WAITING, *[NO_ROOM] * 20, WAITING, DONE]) == DONE


def test_the_last_line_of_the_pod_is_in_the_failure(clock: Clock) -> None:
    with pytest.raises(StageFailure, match=r"pod one runs \(its last line: one broke\)"):
        watch([Failed("pod one runs", "fix it", pod="one")])


@pytest.mark.parametrize(("looks", "is_waited_for"), [(30, True), (32, False)])
def test_a_cluster_that_restarts_is_waited_for(clock: Clock, looks: int, is_waited_for: bool) -> None:
    restart: list[State] = [WAITING, *[Unreachable("no answer", "check it")] * looks, DONE]
    outcome: Callable[[], str] = lambda: watch(restart)  # noqa: E731
    if is_waited_for:
        assert outcome() == DONE
    else:
        with pytest.raises(Unreachable, match="no answer"):
            outcome()
