"""Answers that are classes: the holdout as counts of (truth, candidate, baseline).

Whatever depends on labels alone depends on these counts alone, so an interval costs as much for a million
rows as for a hundred.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ml_pipeline.gate.arrays import Floats, Integers
from ml_pipeline.gate.uncertainty.resampling import ROUNDS, SEED
from ml_pipeline.gate.uncertainty.units import Units

_CHUNK = 1 << 21  # weights held at once


@dataclass(frozen=True)
class Cells:
    """Kinds of rows: `labels` [K, M] has the class indices of each kind, `rows` [K] how many there are."""

    labels: Integers
    rows: Floats


def count(*columns: Integers) -> Cells:
    """Count rows by their class indices, one array [N] a column: the truth, then each image's answers."""
    codes, base = _codes(columns)
    kinds, rows = np.unique(codes, return_counts=True)
    digits = base ** np.arange(len(columns))[::-1]
    return Cells(kinds[:, None] // digits % base - 1, rows.astype(np.float64))


def kinds_of(*columns: Integers) -> Integers:
    """Return the kind of each row [N], as a number in the result of `count` for the same columns."""
    return np.unique(_codes(columns)[0], return_inverse=True)[1]


def _codes(columns: Sequence[Integers]) -> tuple[Integers, int]:
    """Return each row's columns as the digits of one number [N], and the base of these numbers."""
    base = max(int(column.max()) for column in columns) + 2  # room for -1, a class that the model lacks
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        codes = codes * base + column + 1
    return codes, base


def with_unseen(cells: Cells, classes: int, prior: float, leading: int = 1) -> Cells:
    """Add to the kinds that the holdout has those that it may lack by chance: an image right, or wrong.

    Each class of the holdout (of each group, if `leading` columns come before the answers) gets `prior`
    rows, spread evenly over the ways in which the images can be right or wrong, together and alone. Then its
    rows are scaled to their old sum. Images that agree on every row may differ on the next one.
    """
    ways = list(np.ndindex(*(2,) * (cells.labels.shape[1] - leading)))
    numbers = {tuple(kind): row for row, kind in enumerate(cells.labels.tolist())}
    added = dict.fromkeys(range(len(numbers)), 0.0)
    strata, stratum = np.unique(cells.labels[:, :leading], axis=0, return_inverse=True)
    own = dict(zip(numbers.values(), stratum.ravel().tolist(), strict=True))
    for index, first in enumerate(strata.tolist()):
        for way in ways:
            kind = (*first, *((first[-1] + step) % classes for step in way))
            row = numbers.setdefault(kind, len(numbers))
            own[row] = index
            added[row] = prior / len(ways)
    rows = np.append(cells.rows, np.zeros(len(numbers) - len(cells.rows)))
    more = rows + np.asarray([added[row] for row in range(len(numbers))])
    of = np.asarray([own[row] for row in range(len(numbers))])
    scale = np.bincount(of, rows) / np.bincount(of, more)
    return Cells(np.asarray(list(numbers)), more * scale[of])


def draw(cells: Cells, rounds: int = ROUNDS, seed: int = SEED) -> Floats:
    """Return the share of each kind of row in each round [rounds, K]: the Bayesian bootstrap (Rubin 1981)."""
    random = np.random.default_rng(seed)
    drawn = random.standard_gamma(cells.rows, (rounds, len(cells.rows)))
    shares: Floats = drawn / drawn.sum(axis=1, keepdims=True)
    return shares


def draw_units(
    counted: Cells, smoothed: Cells, kinds: Integers, units: Units, rounds: int = ROUNDS, seed: int = SEED
) -> Floats:
    """Do the same with whole units: each round draws a weight for each unit, and one for what was added.

    `counted` and `smoothed` are the cells before and after `with_unseen`, `kinds` [N] is of `kinds_of`.
    """
    random = np.random.default_rng(seed)
    seen = len(counted.rows)
    table = sparse.csr_array((np.ones(len(kinds)), (kinds, units.codes)), (seen, units.count))
    added = np.maximum(smoothed.rows - np.pad(counted.rows, (0, len(smoothed.rows) - seen)), 0.0)
    drawn = random.standard_gamma(added, (rounds, len(added)))
    step = max(1, _CHUNK // units.count)
    for start in range(0, rounds, step):
        some = slice(start, min(start + step, rounds))
        drawn[some, :seen] += (table @ random.standard_exponential((units.count, some.stop - start))).T
    shares: Floats = drawn / drawn.sum(axis=1, keepdims=True)
    return shares
