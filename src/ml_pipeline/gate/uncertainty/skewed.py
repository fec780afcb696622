"""Intervals from what each row adds to a metric, corrected for the skewness of that."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from ml_pipeline.common.gates import Interval
from ml_pipeline.gate.arrays import Floats


@dataclass(frozen=True)
class Skewed:
    """A metric, and the standard deviation, skewness and kurtosis of its influences of `rows` rows."""

    value: float
    deviation: float
    skewness: float
    kurtosis: float
    rows: int

    @classmethod
    def of(cls, value: float, influences: Floats) -> "Skewed":
        """Summarise influences [N], each row's derivative of the metric (Hampel 1974)."""
        centred = influences - influences.mean()
        deviation = float(centred.std(ddof=1))
        # By the largest, so that no power of them is too large for a number.
        largest = float(np.abs(centred).max()) or 1.0
        second, third, fourth = (float(((centred / largest) ** power).mean()) for power in (2, 3, 4))
        if second == 0:
            return cls(value, 0.0, 0.0, 3.0, len(influences))
        return cls(value, deviation, third / second**1.5, fourth / second**2, len(influences))

    def __call__(self, confidence: float) -> tuple[float, float]:
        """Return Student's interval of a mean, with Hall's (1992) correction for skewness.

        Of few large errors a sample often has none, and then its mean and its variance are too small
        together. The correction moves both ends toward where the rare rows are. And the variance is known as
        well as from `freedom` rows of a normal distribution (Satterthwaite 1946): rare rows make it less so.
        """
        error = self.deviation / math.sqrt(self.rows)
        freedom = min(self.rows - 1, max(2 * self.rows / max(self.kurtosis - 1, 1e-9), 1))
        t = float(stdtrit(freedom, 0.5 + confidence / 2))
        low, high = self.value - error * self._untransformed(t), self.value - error * self._untransformed(-t)
        return min(low, self.value), max(high, self.value)

    def _untransformed(self, t: float) -> float:
        root = math.sqrt(self.rows)
        moved = t - self.skewness / 6 / root
        scale = self.skewness / 3 / root
        return (float(np.cbrt(1 + 3 * scale * moved)) - 1) / scale if abs(scale) > 1e-9 else moved


@dataclass(frozen=True)
class Exponential:
    """The interval of a metric above 0 whose logarithm has one."""

    logarithm: Interval

    def __call__(self, confidence: float) -> tuple[float, float] | None:
        """Return the ends."""
        ends = self.logarithm(confidence)
        return ends and (math.exp(ends[0]), math.exp(ends[1]))
