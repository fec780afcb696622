"""Intervals of shares, and of metrics that behave as shares do: they keep their range and their value."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ml_pipeline.common.gates import Interval
from ml_pipeline.gate.arrays import Floats


def scores(shares: Floats, rows: Floats, tail: float) -> tuple[Floats, Floats]:
    """Return the score intervals of shares of `rows` (Wilson 1927); of no rows they are from 0 to 1.

    `tail` is left out on each side. An interval has its share inside, never leaves 0 to 1, and covers as
    often as it says on average even of few rows (Brown, Cai and DasGupta 2001).
    """
    z2 = float(ndtri(tail)) ** 2
    weight = rows + z2
    middle = (rows * shares + z2 / 2) / weight
    half = np.sqrt(z2 * np.maximum(rows * shares * (1 - shares) + z2 / 4, 0.0)) / weight
    return np.minimum(np.maximum(middle - half, 0.0), shares), np.maximum(
        np.minimum(middle + half, 1.0), shares
    )


def score(share: float, rows: float, confidence: float) -> tuple[float, float]:
    """Return the score interval of one share; see `scores`."""
    low, high = scores(np.array(share), np.array(rows), (1 - confidence) / 2)
    return float(low), float(high)


@dataclass(frozen=True)
class Share:
    """The interval of a mean over `rows` of values between 0 and 1, such as a share of rows.

    `rows` may be an effective number of rows: that of a share which varies as much as the metric does (Korn
    and Graubard 1998). `low` and `high` are the metric's range.
    """

    value: float
    rows: float
    low: float = 0.0
    high: float = 1.0

    def __call__(self, confidence: float) -> tuple[float, float]:
        """Return the score interval, which has a width also if no row or every row counts.

        It is that of values that are 0 or 1; those between vary less, and it then covers more often.
        """
        size = self.high - self.low
        ends = score((self.value - self.low) / size, self.rows, confidence)
        return self.low + size * ends[0], self.low + size * ends[1]


@dataclass(frozen=True)
class Overlap:
    """The interval of F1: of the rows that are positive in the truth or in the answers, those in both.

    That share J (Jaccard's) is of a known number of `rows`, and F1 is 2 J / (1 + J).
    """

    share: float
    rows: float

    def __call__(self, confidence: float) -> tuple[float, float]:
        """Return the score interval of the share, as F1."""
        low, high = score(self.share, self.rows, confidence)
        return 2 * low / (1 + low), 2 * high / (1 + high)


@dataclass(frozen=True)
class Apart:
    """The interval of one value minus another, from their own intervals and the correlation of the two.

    Newcombe (1998, method 10) for two shares of the same rows; Zou and Donner (2008) for any measure.
    """

    one: float
    other: float
    of_one: Interval
    of_other: Interval
    correlation: float

    def __call__(self, confidence: float) -> tuple[float, float] | None:
        """Return the ends; None if one of the two has no interval."""
        ends, others = self.of_one(confidence), self.of_other(confidence)
        if ends is None or others is None:
            return None
        below, above = self.one - ends[0], ends[1] - self.one
        under, over = self.other - others[0], others[1] - self.other
        value = self.one - self.other
        return value - self._length(below, over), value + self._length(above, under)

    def _length(self, one: float, other: float) -> float:
        return math.sqrt(max(one**2 + other**2 - 2 * self.correlation * one * other, 0.0))


def nothing(_: float) -> tuple[float, float]:
    """Return the interval of the difference of an image to itself."""
    return 0.0, 0.0
