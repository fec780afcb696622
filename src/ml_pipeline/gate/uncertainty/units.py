"""Rows that belong together, of one customer or one time: they say less than as many independent rows."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from ml_pipeline.gate.arrays import Booleans, Floats, Integers

MIN_UNITS = 20  # of fewer, how much they vary among each other is not known
# Of a holdout in the order of its rows' times. More blocks are too short for rows that depend on the last
# ten, and with fewer of them all intervals are wider.
BLOCKS = 30
_TAIL = 0.975  # of Student's t of few units, in relation to a normal distribution


@dataclass(frozen=True)
class Units:
    """Each row's unit as a number [N] from 0. Units are independent of each other, rows of one are not."""

    codes: Integers

    @property
    def count(self) -> int:
        """How many units there are."""
        return int(self.codes.max()) + 1

    @property
    def sizes(self) -> Floats:
        """The rows of each unit [G]."""
        return np.bincount(self.codes).astype(np.float64)

    def sums(self, values: Floats | Booleans) -> Floats:
        """Return the sum of the values [N] of each unit's rows [G]."""
        return np.bincount(self.codes, values, self.count).astype(np.float64, copy=False)

    def means(self, influences: Floats) -> Floats:
        """Return one number for each unit [G]; their mean is that of the rows' influences [N].

        A metric varies between holdouts as the mean of its influences does, and here units are drawn.
        """
        return self.sums(influences) * (self.count / len(self.codes))

    def widened(self, rounds: Floats) -> Floats:
        """Return a metric's values in rounds [R] in which whole units were drawn, further from their mean.

        Drawn values of few units vary too little, and how much they vary is uncertain (Hesterberg 2015: the
        bootstrap's narrowness, and Student's t).
        """
        others = self.count - 1
        factor = float(stdtrit(others, _TAIL) / ndtri(_TAIL)) * (self.count / others) ** 0.5
        middle = float(rounds[np.isfinite(rounds)].mean()) if np.isfinite(rounds).any() else 0.0
        wide: Floats = middle + factor * (rounds - middle)
        return wide

    def design(self, influences: Floats) -> float:
        """Return how many times as many rows a metric with these influences [N] needs; see `designs`."""
        return float(self.designs(influences, np.zeros(len(influences), dtype=np.int64), 1)[0])

    def designs(self, values: Floats, parts: Integers, count: int) -> Floats:
        """Return how many times as many rows a mean needs as if all were independent; at least 1.

        One number for each of `count` parts of the rows, of which `parts` [N] are the numbers; of one that
        has no unit, or a single one, it is 1. This is the design effect (Kish 1965): the variance of the mean
        of values [N] with whole units drawn, over that with rows drawn; of few units with Student's t (Korn
        and Graubard 1998). Where all values are the same it is that of rows which always vary together.
        """
        sizes = np.maximum(np.bincount(parts, minlength=count), 1)
        centred = values - (np.bincount(parts, values, count) / sizes)[parts]
        pairs, pair = np.unique(parts * self.count + self.codes, return_inverse=True)
        owner, rows = pairs // self.count, np.bincount(pair).astype(np.float64)
        units = np.bincount(owner, minlength=count)
        alone = np.bincount(parts, centred**2, count)
        together = np.bincount(owner, np.bincount(pair, centred) ** 2, count)
        effect = np.bincount(owner, rows**2, count) / sizes
        varies = alone > 1e-12 * sizes * float(np.abs(values).max(initial=0.0)) ** 2
        np.divide(together, alone, out=effect, where=varies)
        others = np.maximum(units - 1, 1)
        effect *= units / others * (stdtrit(others, _TAIL) / ndtri(_TAIL)) ** 2
        return np.where(units > 1, np.maximum(effect, 1.0), 1.0)


def blocks(places: Integers) -> Units:
    """Return blocks of rows that follow each other in time, whose numbers in that order are `places` [N].

    Rows of one block depend on each other as they do; that those at its ends depend on the next block's is
    neglected (batch means: Schmeiser 1982).
    """
    return Units(places * min(BLOCKS, len(places)) // len(places))


def design(units: Units | None, influences: Floats) -> float:
    """Return the design effect, which is 1 of independent rows (`units` None)."""
    return 1.0 if units is None else units.design(influences)
