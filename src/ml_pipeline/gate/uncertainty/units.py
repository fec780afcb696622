"""Rows that belong together, such as those of one customer: they say less than as many independent rows."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from ml_pipeline.gate.arrays import Booleans, Floats, Integers

MIN_UNITS = 20  # of fewer, how much they vary among each other is not known
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

    def design(self, influences: Floats) -> float:
        """Return how many times as many rows are needed as if all were independent; at least 1.

        This is the design effect (Kish 1965): the variance of the mean of influences [N] with whole units
        drawn, over that with rows drawn; of few units with Student's t (Korn and Graubard 1998). Where all
        influences are the same it is that of rows which always vary together.
        """
        centred = influences - influences.mean()
        alone = float(centred @ centred)
        if alone <= 1e-12 * len(centred) * float(np.abs(influences).max(initial=0.0)) ** 2:
            together = float((self.sizes**2).sum()) / len(self.codes)
        else:
            together = float((self.sums(centred) ** 2).sum()) / alone
        student = (float(stdtrit(self.count - 1, _TAIL)) / float(ndtri(_TAIL))) ** 2
        return max(1.0, together * self.count / (self.count - 1) * student)

    def within(self, members: Integers, values: Booleans, rows: Booleans) -> Floats:
        """Return the design effect of the share of `values` [N] among `rows` [N], in each group [K].

        `members` [N] says each row's group. Of a group with no unit, or one, it is 1: it is left out.
        """
        kinds = int(members.max()) + 1
        group, unit, value = members[rows], self.codes[rows], values[rows].astype(np.float64)
        sizes = np.bincount(group, minlength=kinds)
        share = np.bincount(group, value, kinds) / np.maximum(sizes, 1)
        pairs, where = np.unique(group * self.count + unit, return_inverse=True)
        sums, rows_of = np.bincount(where, value - share[group]), np.bincount(where)
        owner = pairs // self.count
        units = np.bincount(owner, minlength=kinds)
        together, alone = np.bincount(owner, sums**2, kinds), sizes * share * (1 - share)
        whole = np.bincount(owner, rows_of.astype(np.float64) ** 2, kinds) / np.maximum(sizes, 1)
        effect = np.divide(together, alone, out=whole, where=alone > 0)
        student = (stdtrit(np.maximum(units - 1, 1), _TAIL) / ndtri(_TAIL)) ** 2
        result: Floats = np.where(units > 1, effect * units / np.maximum(units - 1, 1) * student, 1.0)
        return np.maximum(result, 1.0)


def design(units: Units | None, influences: Floats) -> float:
    """Return the design effect, which is 1 of independent rows (`units` None)."""
    return 1.0 if units is None else units.design(influences)
