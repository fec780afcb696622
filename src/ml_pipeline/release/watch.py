"""Watches a new release in production, and says whether it stays.

What a caller does, for each strategy:

- every strategy: make a `Reader` of the old pods and call its `look()` before anything is applied. What these
  pods counted since they started is the reference.
- rolling: the old pods end while the new ones get ready, so the reference is all there is of the old release.
  Callers reach the first new pod long before the last one is ready, so the watch begins with it:
  `watched = Watched(cluster, release, reader.reference())`, and `watched.early(ready)` until all are ready.
- blue-green: call `look()` once more before the traffic moves. After that the old pods still serve
  connections that callers keep, and still answer the watch's own requests:
  `watched = Watched(cluster, release, reader.reference(), reader.pods)`.
- then, when the new pods are ready and gave a right prediction: `watch(watched, release, new)`.
- a first release has nothing to compare with and nothing to go back to: it is not watched.

"back" means: undo the release, and put `reason` on the first line of the summary. "insufficient" is the
caller's to decide (`deploy.insufficient`), and said in the summary too.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.fields import Object
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release.evidence import Count
from ml_pipeline.release.manifests import Release
from ml_pipeline.release.signals import Decision, Signal, Signals
from ml_pipeline.release.traffic import Counters, Pods, Reader, at_once, is_prediction
from ml_pipeline.release.watch_reason import reason

LOOK_S = 1.0
IDLE = 2  # looks without a caller's request, after which the watch sends some itself
SENT = 5  # requests that it sends in one look
WORSE = "fix the model; the same image needs --force"


class TakenBack(StageFailure):
    """The watch found the release worse than the one before it."""


@dataclass(frozen=True)
class Figures:
    """One signal in the end: rates, their difference and its interval, and the evidence for "worse"."""

    signal: str
    what: str
    stable: Count
    candidate: Count
    difference: float
    interval: tuple[float, float]
    evidence: float
    verdict: str


@dataclass(frozen=True)
class WatchOutcome:
    """What a watch decided; `reason` is one sentence with figures, for the summary's first line."""

    decision: Decision
    reason: str
    seconds: float
    looks: int
    requests: float  # that callers sent to the new release
    sent: float  # that the watch sent to it
    signals: tuple[Figures, ...] = ()
    left_out: tuple[str, ...] = ()  # signals that one of the images does not count


def watch(watched: "Watched", release: Release, new: Sequence[str]) -> WatchOutcome:
    """Look at the pods every second, for `watch_s`, or until the new ones are worse; return the outcome.

    `new` are the pods that serve. If no caller sends anything, their own example is sent. An API server that
    does not answer for a while is waited for. Raises StageFailure if the cluster refuses.
    """
    seconds = release.watch_s
    print(f"deploy: watching {release.name} for {seconds:g} s", flush=True)
    planned = max(1, round(seconds / LOOK_S))
    started = time.monotonic()
    watched.add(new)
    watched.signals.plan(planned)
    watched.look()
    for number in range(1, planned + 1):
        time.sleep(max(0.0, started + number * LOOK_S - time.monotonic()))
        watched.look()
        worse = watched.signals.worse()
        if worse is not None or time.monotonic() - started > seconds + LOOK_S:
            break
    took, decision, why = watched.reason()
    print(f"deploy: {why}", flush=True)
    figures = tuple(_figures(signal) for signal in watched.signals.all)
    return WatchOutcome(
        decision, why, took, number, watched.requests, watched.sent, figures, watched.signals.left_out
    )


def stays(outcome: WatchOutcome, insufficient: str) -> str:
    """Return a note on a release that stays, "" if nothing is to say. Raises StageFailure if it may not."""
    if outcome.decision == "back":
        raise TakenBack(outcome.reason, WORSE)
    if outcome.decision == "keep":
        return ""
    if insufficient == "back":
        hint = 'release it again when there are more requests, or set deploy.insufficient = "keep"'
        raise StageFailure(outcome.reason, hint)
    return f"the new release stays, although {outcome.reason}"


class Watched:
    """The pods of both releases, and the signals that they give.

    `old` are pods of the release before, which still run. `stable` is what those pods counted before the
    switch (`Reader.reference`).
    """

    def __init__(
        self, cluster: Cluster | Pods, release: Release, stable: Counters, old: Sequence[str] = ()
    ) -> None:
        self.signals = Signals(release.tolerances, max(1, round(release.watch_s / LOOK_S)), stable)
        self.requests = self.sent = 0.0
        self._new = Reader(cluster)
        self._both = Reader(cluster, old), self._new
        self._example: Object = {}
        self._asked = self._idle = 0
        self._started: float | None = None
        self._looked = 0.0

    def add(self, new: Sequence[str]) -> None:
        """Watch these pods of the new release too, those that are known as before."""
        self._new.add(new)

    def early(self, new: Sequence[str]) -> None:
        """Look at the pods that are ready before all are, once in LOOK_S. Raises TakenBack."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self.add(new)
        self.look(sends=False)
        if self.signals.worse() is not None:
            raise TakenBack(self.reason()[2], WORSE)

    def reason(self) -> tuple[float, Decision, str]:
        """Return for how many seconds it was watched, the decision so far, and why."""
        took = round(time.monotonic() - (self._started or time.monotonic()), 1)
        return took, *reason(self.signals, took, self.requests, self.sent)

    def look(self, *, sends: bool = True) -> None:
        """Read all pods, and send requests where callers send none."""
        self._looked = time.monotonic()
        stable, candidate = at_once([each.look for each in self._both])
        if self._started is None:  # the first reads only set the start
            self._started = self._looked
            return
        self.signals.look(stable.counters, candidate.counters, candidate.down)
        self.requests += candidate.counters.answers
        self._idle = 0 if candidate.counters.answers else self._idle + 1
        if sends and self._idle >= IDLE:
            self._send()

    def _send(self) -> None:
        self._example = self._example or self._find_example()
        if not self._example:
            return
        numbers = range(self._asked, self._asked + SENT)
        self._asked += SENT
        stable, candidate = at_once([partial(_errors, each, self._example, numbers) for each in self._both])
        self.sent += candidate.n
        if candidate.n:
            self.signals.probe(stable, candidate)

    def _find_example(self) -> Object:
        for pod in self._new.pods:
            answer = self._new.get(pod, "/model")
            example = answer.get("example") if isinstance(answer, Mapping) else None
            if isinstance(example, Mapping):
                return {"instances": [example]}
        return {}


def _errors(reader: Reader, example: Object, numbers: Sequence[int]) -> Count:
    """Count the answers that are errors. A pod that is down is another signal."""
    answers = reader.ask(example, numbers)
    return Count(sum(not is_prediction(answer) for answer in answers), len(answers))


def _figures(signal: Signal) -> Figures:
    evidence = signal.evidence
    return Figures(
        signal.family,
        signal.what,
        evidence.stable,
        evidence.candidate,
        evidence.difference,
        evidence.interval,
        evidence.value,
        evidence.verdict,
    )
