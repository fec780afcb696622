"""Intervals: from resampled rounds, and of means."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ml_pipeline.common.gates import Interval
from ml_pipeline.common.metrics.table import METRICS, names
from ml_pipeline.gate.arrays import Floats
from ml_pipeline.gate.uncertainty.shares import Share
from ml_pipeline.gate.uncertainty.skewed import Exponential, Skewed

# What is a sum of absolute differences, or the largest of several, grows by resampling alone.
PUSHED = frozenset({"expected_calibration_error", *names("fairness")})
FEW = 5  # values above 0 that a mean of them needs
EDGE = 20  # rounds beyond an end; an end that has fewer is computed from the one that has so many


@dataclass(frozen=True)
class Spread:
    """One number and its value in every round [R]: asked for a confidence, it answers with an interval."""

    point: float
    rounds: Floats
    pushed: bool = False
    low: float = -np.inf
    high: float = np.inf

    def __call__(self, confidence: float) -> tuple[float, float] | None:
        """Return the interval's ends, percentiles of the rounds (Efron 1981), in the metric's range.

        Where resampling pushes a measure to one side the interval also takes in what is mirrored at the
        point (Davison and Hinkley 1997, "basic"), and so covers at least as often as it says. The point
        is always inside. None if fewer than nine rounds in ten have a value.
        """
        finite = self.rounds[np.isfinite(self.rounds)]
        if len(finite) < 0.9 * len(self.rounds):
            return None
        low, high = _ends(finite, (1 - confidence) / 2)
        if self.pushed:
            low, high = min(low, 2 * self.point - high), max(high, 2 * self.point - low)
        low, high = min(low, self.point), max(high, self.point)
        return max(low, self.low), min(high, self.high)


def _ends(rounds: Floats, tail: float) -> tuple[float, float]:
    """Return the quantiles `tail` and 1 - `tail`.

    Of 1,000 rounds the outermost are hardly more than one draw. Ends that lie further out are as far beyond
    the last ones with EDGE rounds as those of a normal distribution are.
    """
    edge = max(tail, min(EDGE / len(rounds), 0.25))
    low, middle, high = (float(end) for end in np.quantile(rounds, (edge, 0.5, 1 - edge)))
    further = float(ndtri(tail) / ndtri(edge)) if tail < edge else 1.0
    return middle + further * (low - middle), middle + further * (high - middle)


@dataclass(frozen=True)
class Differing:
    """The interval of a mean of values of at least 0, such as distances of answers; many may be 0."""

    share: Share
    size: Interval | None  # of the values above 0; None: they are too few

    @classmethod
    def of(cls, values: Floats) -> "Differing":
        """Summarise values [N]."""
        above = values[values > 0]
        share = Share(len(above) / len(values), len(values))
        if len(above) < FEW:
            return cls(share, None)
        mean = float(above.mean())
        return cls(share, Exponential(Skewed.of(math.log(mean), above / mean)))

    def __call__(self, confidence: float) -> tuple[float, float] | None:
        """Return the product of both intervals, each with half of the doubt (Bonferroni).

        No width if no value is above 0: the images are the same. None where too few are.
        """
        if self.share.value == 0:
            return 0.0, 0.0
        level = (1 + confidence) / 2
        sizes = self.size(level) if self.size else None
        if sizes is None:
            return None
        low, high = self.share(level)
        return low * sizes[0], high * sizes[1]


@dataclass(frozen=True)
class Mirrored:
    """The interval of (constant - measured) times `sign`, where only `measured` is uncertain."""

    measured: Interval
    constant: float
    sign: int

    def __call__(self, confidence: float) -> tuple[float, float] | None:
        """Return the measured one's ends, carried over; None if it has none."""
        ends = self.measured(confidence)
        if ends is None:
            return None
        low, high = sorted(self.sign * (self.constant - end) for end in ends)
        return low, high


def spreads(points: Mapping[str, float], rounds: Mapping[str, Floats]) -> dict[str, Spread]:
    """Join each metric's value on the holdout with its rounds.

    A perfect value that no round changes has no interval: rows that are all right don't say how far from
    right the next one may be. (Of labels the number of rows says it.)
    """
    intervals: dict[str, Spread] = {}
    for name, values in rounds.items():
        if name in points and not (points[name] in {0.0, 1.0} and np.ptp(values) == 0):
            high = 1.0 if METRICS[name].range == "0 to 1" else np.inf
            low = -np.inf if name == "r2" else 0.0
            intervals[name] = Spread(points[name], values, name in PUSHED, low, high)
    return intervals


def difference(name: str, value: float, candidate: Floats, baseline: Floats) -> Spread:
    """Return the interval of a difference: in each round both images have answered the same rows."""
    return Spread(value, candidate - baseline, name in PUSHED)
