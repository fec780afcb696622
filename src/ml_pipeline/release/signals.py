"""The signals of a watch, as blocks of evidence, and what all of them say together; pure.

What the old release did before the switch is the reference. It is drawn from bit by bit, at random without
putting back, so that each look compares a part of it with what the new release did since the last look: a
release whose rate did not change looks just as if the old one still served beside it. Pods of the old release
that still serve, on connections that callers keep, are added to that.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ml_pipeline.common.tolerances import Tolerances
from ml_pipeline.release.evidence import ALPHA, LEARNED, Block, Count, Evidence
from ml_pipeline.release.traffic import NOTHING, Counters

ERRORS, SLOW, CLASSES = "errors", "slow answers", "class shares"
PROBES, DOWN = "errors on sent requests", "pods down"
FAMILIES = (ERRORS, SLOW, CLASSES, PROBES, DOWN)  # ALPHA is split among them
PORTION = 500  # requests of the reference that one look uses at most
LEARNING = 200  # of them, those that only tell the rate to bet on
SLOWEST = 0.05  # share of the stable's answers that are called slow
DOWN_TOLERANCE = 0.1  # of the reads of /metrics
BAD_STABLE = 0.1  # with so much fewer errors, the new release fixes a bad one: only errors are compared then

Decision = Literal["keep", "back", "insufficient"]


class Replay:
    """Draws from cases that were counted before, without putting back."""

    def __init__(self, count: Count, generator: random.Random) -> None:
        self._x, self._n = math.floor(count.x), math.floor(count.n)
        self._generator = generator

    @property
    def left(self) -> int:
        """How many cases have not been drawn."""
        return self._n

    def draw(self, n: int) -> Count:
        """Return n cases, or all that are left."""
        n, x = min(n, self._n), 0
        for _ in range(n):
            hit = self._generator.random() * self._n < self._x
            x += hit
            self._x -= hit
            self._n -= 1
        return Count(x, n)


@dataclass(frozen=True)
class Signal:
    """One signal so far. `family` is one of FAMILIES; `what` tells it apart, such as a class."""

    family: str
    what: str
    evidence: Evidence


class Signals:
    """All signals of one watch. `planned` is the number of looks."""

    def __init__(
        self, tolerances: Tolerances, planned: int, reference: Counters = NOTHING, seed: int = 0
    ) -> None:
        self._tolerances = tolerances
        self._planned = self._looks = planned
        self._reference = reference
        self._stable = reference
        self._bound: float | None = None  # seconds; slower answers are slow
        self._generator = random.Random(seed)  # noqa: S311 - no secret; seeded, so that a watch can be repeated
        self._replays: dict[tuple[str, str], Replay] = {}
        self._signals: dict[tuple[str, str], Evidence] = {}
        self.left_out: tuple[str, ...] = ()

    def plan(self, looks: int) -> None:
        """Spread what is left of the reference over so many looks more."""
        self._looks = looks

    @property
    def all(self) -> tuple[Signal, ...]:
        """The signals that have evidence, in the order of FAMILIES."""
        listed = [Signal(*key, evidence) for key, evidence in self._signals.items()]
        return tuple(sorted(listed, key=lambda signal: FAMILIES.index(signal.family)))

    def look(self, stable: Counters, candidate: Counters, down: Count) -> None:
        """Add what both did since the last look; `down` counts reads of the candidate's pods."""
        self._looks = max(1, self._looks - 1)
        self.left_out = ()
        self._look_at_errors(stable, candidate)
        self._look_at_slow(stable, candidate)
        self._look_at_classes(stable, candidate)
        self._stable += stable
        if down.n:
            self._add(DOWN, "", Count(0, down.n), down, Count(0, LEARNED), DOWN_TOLERANCE)

    def probe(self, stable: Count, candidate: Count) -> None:
        """Add errors among the requests that the watch sent itself; without old pods, `stable` has none."""
        beside = stable if stable.n else Count(0, candidate.n)
        self._add(PROBES, "", beside, candidate, Count(0, LEARNED), self._tolerances.errors)

    def worse(self) -> Signal | None:
        """Return the signal by which the candidate is worse, the one with most evidence; None if none is."""
        worse = [signal for signal in self._judged() if signal.evidence.verdict == "worse"]
        return max(worse, key=lambda signal: signal.evidence.value, default=None)

    def unclear(self) -> list[Signal]:
        """Return the signals that have requests, but not enough to call the candidate as good."""
        return [
            signal
            for signal in self._judged()
            if signal.family != DOWN
            and signal.evidence.candidate.n >= LEARNED
            and signal.evidence.verdict == "unclear"
        ]

    def as_good(self) -> list[str]:
        """Return the families by which the candidate is as good."""
        good = [signal.family for signal in self._judged() if signal.evidence.verdict == "as good"]
        return [family for family in dict.fromkeys(good) if family != DOWN]

    def fixes_a_bad_stable(self) -> bool:
        """Tell whether the candidate has much fewer errors; then only errors are compared."""
        evidence = self._signals.get((ERRORS, ""))
        if evidence is None or evidence.candidate.n < LEARNED:
            return False
        return evidence.stable.rate - evidence.candidate.rate > BAD_STABLE

    def _judged(self) -> Iterator[Signal]:
        only = {ERRORS, PROBES, DOWN} if self.fixes_a_bad_stable() else set(FAMILIES)
        return (signal for signal in self.all if signal.family in only)

    def _look_at_errors(self, stable: Counters, candidate: Counters) -> None:
        theirs, ours = self._reference.errors, candidate.errors
        if theirs is None or ours is None:
            self.left_out += (ERRORS,)
            return
        self._add(ERRORS, "", stable.errors or Count(), ours, theirs, self._tolerances.errors)

    def _look_at_slow(self, stable: Counters, candidate: Counters) -> None:
        if self._bound is None:
            self._bound = _slow_bound(self._stable)
        lacks = candidate.buckets is None or self._reference.buckets is None
        unlike = bool(self._bound and candidate.buckets and self._bound not in candidate.buckets)
        if lacks or unlike or self._bound == math.inf:
            self.left_out += (SLOW,)
        elif self._bound:
            slow, before = _slow(candidate, self._bound), _slow(self._reference, self._bound)
            beside = _slow(stable, self._bound)
            self._add(SLOW, f"{self._bound * 1000:g} ms", beside, slow, before, self._tolerances.slow)

    def _look_at_classes(self, stable: Counters, candidate: Counters) -> None:
        names = set(self._stable.classes or ()) | set(stable.classes or ())
        lacks = candidate.classes is None or self._reference.classes is None
        if lacks or (names and candidate.classes and names != set(candidate.classes)):
            self.left_out += (CLASSES,)
            return
        for name in sorted(names):
            beside, share, before = (_share(c, name) for c in (stable, candidate, self._reference))
            self._add(CLASSES, name, beside, share, before, self._tolerances.classes, len(names))

    def _add(
        self,
        family: str,
        what: str,
        stable: Count,
        candidate: Count,
        reference: Count,
        tolerance: float,
        parts: int = 1,
    ) -> None:
        key = family, what
        if key not in self._signals:
            self._replays[key] = replay = Replay(reference, self._generator)
            learned = replay.draw(min(LEARNING, max(LEARNED, replay.left // 8)))
            evidence = Evidence(ALPHA / len(FAMILIES) / parts, tolerance, self._planned)
            self._signals[key] = evidence.after(Block(learned, Count()))
        if candidate.n:
            replay = self._replays[key]
            stable += replay.draw(min(PORTION, -(-replay.left // self._looks)))
        self._signals[key] = self._signals[key].after(Block(stable, candidate))


def _slow_bound(stable: Counters) -> float | None:
    """Return the bound of the bucket in which 95 % of the answers are; None of too few answers."""
    buckets = stable.buckets or {}
    total = buckets.get(math.inf, 0)
    if total < LEARNED:
        return None
    return min(bound for bound, number in buckets.items() if number >= (1 - SLOWEST) * total)


def _slow(counters: Counters, bound: float) -> Count:
    buckets = counters.buckets or {}
    total = buckets.get(math.inf, 0)
    return Count(total - buckets.get(bound, 0), total)


def _share(counters: Counters, name: str) -> Count:
    """Return a class's share of the rows, which count as one where they came in one request."""
    classes = counters.classes or {}
    rows = sum(classes.values())
    weight = min(1.0, (counters.codes or {}).get(200, rows) / rows) if rows else 0.0
    return Count(classes.get(name, 0) * weight, rows * weight)
