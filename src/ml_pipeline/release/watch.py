"""Watches a new release in production, and says whether it stays.

What a caller does, for each strategy:

- every strategy: make a `Reader` of the old pods and call its `look()` before anything is applied. What these
  pods counted since they started is the reference.
- rolling: the old pods end while the new ones get ready, so the reference is all there is of the old release.
  When the new pods are ready and gave a right prediction:
  `watch(cluster, release, (), new, seconds=60, stable=reader.reference())`.
- blue-green: call `look()` once more before the traffic moves. After that the old pods still serve
  connections that callers keep, and still answer the watch's own requests:
  `watch(cluster, release, reader.pods, new, seconds=60, stable=reader.reference())`.
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
from ml_pipeline.common.tolerances import Tolerances
from ml_pipeline.release.evidence import Count
from ml_pipeline.release.manifests import Release
from ml_pipeline.release.signals import Decision, Signal, Signals
from ml_pipeline.release.traffic import NOTHING, Counters, Pods, Reader, at_once, is_prediction
from ml_pipeline.release.watch_reason import reason

DEFAULTS = Tolerances()
LOOK_S = 1.0
IDLE = 2  # looks without a caller's request, after which the watch sends some itself
SENT = 5  # requests that it sends in one look


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


def watch(
    cluster: Cluster | Pods,
    release: Release,
    old: Sequence[str],
    new: Sequence[str],
    *,
    seconds: float,
    stable: Counters | None = None,
    tolerances: Tolerances = DEFAULTS,
) -> WatchOutcome:
    """Look at the pods every second, for `seconds`, or until the new ones are worse; return the outcome.

    `old` are the pods of the release before that still run, `new` those that serve. `stable` is what the old
    ones did before the switch (`Reader.reference`). If no caller sends anything, the new pods' own example is
    sent. An API server that does not answer for a while is waited for. Raises StageFailure if the cluster
    refuses.
    """
    print(f"deploy: watching {release.name} for {seconds:g} s", flush=True)
    planned = max(1, round(seconds / LOOK_S))
    begun = time.monotonic()
    watched = _Watched(cluster, old, new, Signals(tolerances, planned, stable or NOTHING))
    watched.look()
    for number in range(1, planned + 1):
        time.sleep(max(0.0, begun + number * LOOK_S - time.monotonic()))
        watched.look()
        worse = watched.signals.worse()
        if worse is not None or time.monotonic() - begun > seconds + LOOK_S:
            break
    took = round(time.monotonic() - begun, 1)
    decision, why = reason(watched.signals, took, watched.requests, watched.sent)
    print(f"deploy: {why}", flush=True)
    figures = tuple(_figures(signal) for signal in watched.signals.all)
    return WatchOutcome(
        decision, why, took, number, watched.requests, watched.sent, figures, watched.signals.left_out
    )


def stays(outcome: WatchOutcome, insufficient: str) -> str:
    """Return a note on a release that stays, "" if nothing is to say. Raises StageFailure if it may not."""
    if outcome.decision == "back":
        raise TakenBack(outcome.reason, "fix the model; the same image needs --force")
    if outcome.decision == "keep":
        return ""
    if insufficient == "back":
        hint = 'release it again when there are more requests, or set deploy.insufficient = "keep"'
        raise StageFailure(outcome.reason, hint)
    return f"the new release stays, although {outcome.reason}"


class _Watched:
    """The pods of both releases, and the signals that they give."""

    def __init__(self, cluster: Pods, old: Sequence[str], new: Sequence[str], signals: Signals) -> None:
        self.signals = signals
        self.requests = self.sent = 0.0
        self._new = Reader(cluster, new)
        self._both = Reader(cluster, old), self._new
        self._example: Object = {}
        self._asked = self._idle = 0
        self._begun = False

    def look(self) -> None:
        """Read all pods, and send requests where callers send none."""
        stable, candidate = at_once([each.look for each in self._both])
        if not self._begun:  # the first reads only set the start
            self._begun = True
            return
        self.signals.look(stable.counters, candidate.counters, candidate.down)
        self.requests += candidate.counters.answers
        self._idle = 0 if candidate.counters.answers else self._idle + 1
        if self._idle >= IDLE:
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
