"""Intervals: from resampled rounds, and of what is only counted."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ml_pipeline.common.metrics.table import names
from ml_pipeline.common.rules import Interval
from ml_pipeline.gate.arrays import Floats

# What is a sum of absolute differences, or the largest of several, grows by resampling alone.
PUSHED = frozenset({"expected_calibration_error", *names("fairness")})
MANY = 30  # values whose mean is about normally distributed


@dataclass(frozen=True)
class Spread:
    """One number and its value in every round [R]: asked for a confidence, it answers with an interval."""

    point: float
    rounds: Floats
    pushed: bool = False

    def __call__(self, confidence: float) -> tuple[float, float] | None:
        """Return the interval's ends, percentiles of the rounds (Efron 1981).

        Where resampling pushes a measure to one side the interval also takes in what is mirrored at the
        point (Davison and Hinkley 1997, "basic"), and so covers at least as often as it says. None where
        fewer than nine rounds in ten have a value.
        """
        finite = self.rounds[np.isfinite(self.rounds)]
        if len(finite) < 0.9 * len(self.rounds):
            return None
        tail = (1 - confidence) / 2
        low, high = (float(end) for end in np.quantile(finite, (tail, 1 - tail)))
        if self.pushed:
            low, high = min(low, 2 * self.point - high), max(high, 2 * self.point - low)
        return low, high


@dataclass(frozen=True)
class Bounded:
    """The interval of a measure that can't leave [0, 1]."""

    spread: Spread

    def __call__(self, confidence: float) -> tuple[float, float] | None:
        """Return the interval's part between 0 and 1."""
        ends = self.spread(confidence)
        return ends and (min(max(ends[0], 0.0), 1.0), min(max(ends[1], 0.0), 1.0))


@dataclass(frozen=True)
class Share:
    """The interval of a mean over `rows` of values between 0 and 1, such as a share of rows."""

    mean: float
    rows: int

    def __call__(self, confidence: float) -> tuple[float, float]:
        """Return the score interval (Wilson 1927), which is one also where no row or every row counts.

        It is that of values that are 0 or 1; those between vary less, and it then covers more often.
        """
        z2 = float(ndtri(0.5 + confidence / 2)) ** 2
        weight = self.rows + z2
        middle = (self.rows * self.mean + z2 / 2) / weight
        half = (z2 * (self.rows * self.mean * (1 - self.mean) + z2 / 4)) ** 0.5 / weight
        return max(middle - half, 0.0), min(middle + half, 1.0)


@dataclass(frozen=True)
class Mean:
    """The interval of a mean over `rows` of values of at least 0, with their standard deviation."""

    mean: float
    deviation: float
    rows: int

    def __call__(self, confidence: float) -> tuple[float, float] | None:
        """Return that of the normal distribution, which means of many values have; None for few."""
        if self.rows < MANY:
            return None
        half = float(ndtri(0.5 + confidence / 2)) * self.deviation / self.rows**0.5
        return max(self.mean - half, 0.0), self.mean + half


@dataclass(frozen=True)
class Mirrored:
    """The interval of (constant - measured) times `sign`, where only `measured` is uncertain."""

    measured: Interval
    constant: float
    sign: int

    def __call__(self, confidence: float) -> tuple[float, float] | None:
        """Return the measured one's ends, carried over; None where it has none."""
        ends = self.measured(confidence)
        if ends is None:
            return None
        low, high = sorted(self.sign * (self.constant - end) for end in ends)
        return low, high


def spreads(points: Mapping[str, float], rounds: Mapping[str, Floats]) -> dict[str, Spread | Bounded]:
    """Join each metric's value on the holdout with its rounds.

    A perfect value that no round changes has no interval: rows that are all right don't say how far from
    right the next one may be. (Of labels the cells say it.)
    """
    intervals: dict[str, Spread | Bounded] = {}
    for name, values in rounds.items():
        if name in points and not (points[name] in {0.0, 1.0} and np.ptp(values) == 0):
            spread = Spread(points[name], values, name in PUSHED)
            intervals[name] = Bounded(spread) if name in PUSHED else spread
    return intervals


def difference(name: str, value: float, candidate: Floats, baseline: Floats) -> Spread:
    """Return the interval of a difference: in each round both images have answered the same rows."""
    return Spread(value, candidate - baseline, name in PUSHED)
