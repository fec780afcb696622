"""The shares of several groups, compared pair by pair with intervals that hold for all pairs at once."""

from dataclasses import dataclass

import numpy as np

from ml_pipeline.gate.arrays import Floats
from ml_pipeline.gate.uncertainty.shares import scores


@dataclass(frozen=True)
class Shares:
    """Of each group [G], how many of its rows count."""

    hits: Floats
    rows: Floats

    @property
    def pairs(self) -> int:
        """How many pairs of groups there are."""
        return len(self.rows) * (len(self.rows) - 1) // 2

    def difference(self, tail: float) -> tuple[float, float]:
        """Return the interval of the largest difference; each pair's leaves out `tail` on each side.

        A pair's interval is that of Newcombe (1998, method 10): from the score intervals of both.
        """
        (one, other), share = self._pairs(), self.hits / self.rows
        low, high = scores(share, self.rows, tail)
        apart = share[one] - share[other]
        least = apart - np.hypot(share[one] - low[one], high[other] - share[other])
        most = apart + np.hypot(high[one] - share[one], share[other] - low[other])
        surely = np.maximum(np.maximum(least, -most), 0)
        return float(surely.max()), float(np.maximum(-least, most).max())

    def ratio(self, tail: float) -> tuple[float, float]:
        """Return the interval of the smallest ratio; a pair's is that of Donner and Zou (2012)."""
        (one, other), share = self._pairs(), self.hits / self.rows
        low, high = scores(share, self.rows, tail)
        numerator, denominator = np.append(one, other), np.append(other, one)
        product = share[numerator] * share[denominator]
        with np.errstate(invalid="ignore", divide="ignore"):
            least = _ratio_end(product, low[numerator], high[denominator], share, numerator, denominator, -1)
            most = _ratio_end(product, high[numerator], low[denominator], share, numerator, denominator, 1)
        # Where neither group has any, nothing is known of their ratio.
        least, most = np.nan_to_num(least, nan=0.0), np.nan_to_num(most, nan=np.inf)
        return max(float(least.min()), 0.0), min(float(most.min()), 1.0)

    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        return np.triu_indices(len(self.rows), 1)


def _ratio_end(
    product: Floats, end: Floats, against: Floats, share: Floats, one: Floats, other: Floats, sign: int
) -> Floats:
    above, below = end * (2 * share[one] - end), against * (2 * share[other] - against)
    root = np.sqrt(np.maximum(product**2 - above * below, 0.0))
    ratio: Floats = (product + sign * root) / below
    return ratio
