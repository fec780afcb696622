"""Intervals of latencies. Requests of one moment are slow together, so blocks of requests are compared."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from ml_pipeline.common.gates import Interval
from ml_pipeline.gate.arrays import Floats

BLOCKS, FEWEST = 10, 5  # as many blocks as have a request beyond the quantile each, but at most 10
REQUESTS = 100  # of fewer nothing is claimed


@dataclass(frozen=True)
class Blocks:
    """A percentile as so many times another one, or 1 ms; and the logarithm of that in each block.

    A machine that is slow for some seconds slows both images by the same factor.
    """

    value: float
    unit: float
    logarithms: Floats
    middle: float  # of the interval, as a logarithm
    less: float = 0.0  # what is taken off, for a difference

    def __call__(self, confidence: float) -> tuple[float, float]:
        """Return Student's interval by the variation between blocks (batch means: Conway 1963)."""
        blocks = len(self.logarithms)
        error = float(np.std(self.logarithms, ddof=1)) / blocks**0.5
        half = float(stdtrit(blocks - 1, 0.5 + confidence / 2)) * error
        low, high = (self.unit * math.exp(self.middle + sign * half) - self.less for sign in (-1, 1))
        return min(low, self.value), max(high, self.value)


def needed(percent: int) -> int:
    """Return how many requests the interval of a percentile needs."""
    return max(REQUESTS, round(FEWEST / (1 - percent / 100)))


def interval(milliseconds: Floats, percent: int) -> Interval | None:
    """Return the interval of a percentile of consecutive requests [N]; None of too few."""
    parts = _parts(milliseconds, percent)
    if parts is None:
        return None
    value = float(np.percentile(milliseconds, percent))
    return Blocks(value, 1.0, np.log(parts), math.log(value))


def difference(one: Floats, other: Floats, percent: int) -> Interval | None:
    """Return the interval of a percentile minus another image's, which was asked in turn with this one."""
    parts, others = _parts(one, percent), _parts(other, percent)
    if parts is None or others is None or len(parts) != len(others):
        return None
    value, before = (float(np.percentile(each, percent)) for each in (one, other))
    times = np.log(parts / others)
    return Blocks(value - before, before, times, float(np.mean(times)), before)


def _parts(milliseconds: Floats, percent: int) -> Floats | None:
    if len(milliseconds) < needed(percent):
        return None
    blocks: Sequence[Floats] = np.array_split(
        milliseconds, min(BLOCKS, round(len(milliseconds) * (1 - percent / 100)))
    )
    return np.asarray([np.percentile(block, percent) for block in blocks])
