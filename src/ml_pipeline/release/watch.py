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

from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.fields import Object
from ml_pipeline.common.tolerances import Tolerances
from ml_pipeline.release.evidence import Count
from ml_pipeline.release.manifests import Release
from ml_pipeline.release.signals import Decision, Signal, Signals
from ml_pipeline.release.traffic import NOTHING, Counters, Pods, Reader, is_prediction
from ml_pipeline.release.watch_reason import reason

DEFAULTS = Tolerances()
LOOK_S = 1.0
IDLE = 2  # looks without a caller's request, after which the watch sends some itself
SENT = 5  # requests that it sends in one look


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


class _Watched:
    """The pods of both releases, and the signals that they give."""

    def __init__(self, cluster: Pods, old: Sequence[str], new: Sequence[str], signals: Signals) -> None:
        self.signals = signals
        self.requests = self.sent = 0.0
        self._old, self._new = Reader(cluster, old), Reader(cluster, new)
        self._example: Object = {}
        self._asked = self._idle = 0
        self._begun = False

    def look(self) -> None:
        """Read all pods, and send requests where callers send none."""
        stable, candidate = self._old.look(), self._new.look()
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
        stable = candidate = Count()
        for _ in range(SENT if self._example else 0):
            self._asked += 1
            stable += self._errors(self._old)
            candidate += self._errors(self._new)
        self.sent += candidate.n
        if candidate.n:
            self.signals.probe(stable, candidate)

    def _errors(self, reader: Reader) -> Count:
        """Ask the pods in turn; count an answer that is an error. A pod that is down is another signal."""
        pods = reader.pods
        answer = reader.ask(pods[self._asked % len(pods)], self._example) if pods else None
        return Count() if answer is None else Count(not is_prediction(answer), 1)

    def _find_example(self) -> Object:
        for pod in self._new.pods:
            answer = self._new.get(pod, "/model")
            example = answer.get("example") if isinstance(answer, Mapping) else None
            if isinstance(example, Mapping):
                return {"instances": [example]}
        return {}


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
