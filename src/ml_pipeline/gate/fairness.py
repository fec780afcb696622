"""How far the groups of sensitive columns are apart, by fairlearn's definitions.

Selection rate: the share of answers that are the positive class. Demographic parity compares the groups'
selection rates, equalized odds their true and their false positive rates, whichever are further apart;
the difference is the largest minus the smallest, the ratio the smallest over the largest
(`fairlearn.metrics`; Agarwal et al. 2018, Hardt, Price and Srebro 2016).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml_pipeline.gate.arrays import Booleans, Floats, Integers, Texts
from ml_pipeline.gate.uncertainty import cells, pairs
from ml_pipeline.gate.uncertainty.resampling import ROUNDS, SEED
from ml_pipeline.gate.uncertainty.units import Units

_PRIOR = 1.0  # rows for each group's positive and other rows: Jeffreys' prior of their rates
_EXPECTATION = 400  # rounds of equal groups; their mean is within a fiftieth of the spread
PARITY = "demographic_parity_"
ODDS = "equalized_odds_"
_RATES = {PARITY: slice(0, 1), ODDS: slice(1, 3)}  # of: selection, true positive, false positive


@dataclass(frozen=True)
class Rates:
    """Rows of each group, and those answered positive [3, G]: of all, the positive and the other rows."""

    selected: Floats
    rows: Floats

    def share(self) -> Floats:
        """Return the rates [3, G]; 0 of no rows."""
        return np.divide(self.selected, self.rows, out=np.zeros_like(self.selected), where=self.rows > 0)


@dataclass(frozen=True)
class Parity:
    """One column's measures, or those of several columns' crossing: on the holdout, and in each round [R].

    `left_out` has the groups that are too small for a rate: name → rows.
    """

    column: str
    rates: list[Rates]  # of each image
    independent: Rates  # the candidate's, of as many independent rows as say as much
    enough: Booleans  # [3, G]
    points: list[dict[str, float]]
    rounds: list[dict[str, Floats]]  # only of two images: for the difference between them
    left_out: Mapping[str, int]

    def interval(self, name: str, confidence: float) -> tuple[float, float]:
        """Return the interval of the candidate's measure, from intervals of all pairs of groups at once.

        The largest of several differences is larger than the truth on average, and so are its resampled
        values. Intervals of pairs are not: each pair's holds for all pairs together (Newcombe 1998, with
        Bonferroni's correction).
        """
        compared = _compared(self.independent, self.enough, name)
        tail = (1 - confidence) / 2 / sum(rate.pairs for rate in compared)
        ends = [(rate.ratio if name.endswith("ratio") else rate.difference)(tail) for rate in compared]
        extreme = min if name.endswith("ratio") else max
        return extreme(low for low, _ in ends), extreme(high for _, high in ends)

    def expected(self, name: str) -> float:
        """Return what the measure would be on average if all groups were alike (in this column's sizes)."""
        random = np.random.default_rng(SEED)
        compared = _compared(self.independent, self.enough, name)
        alike = []
        for rate in compared:
            sizes = np.maximum(rate.rows.astype(np.int64), 1)
            share = rate.hits.sum() / rate.rows.sum()
            alike.append(random.binomial(sizes, share, (_EXPECTATION, len(sizes))) / sizes)
        return float(_extreme(name, alike).mean())


def measure(
    column: str,
    members: Texts,
    truth: Integers,
    answers: Sequence[Integers],
    *,
    min_rows: int,
    rounds: int = ROUNDS,
    seed: int = SEED,
    units: Units | None = None,
) -> Parity:
    """Measure the groups `members` [N]; `truth` and each image's `answers` [N] say whether it is positive.

    A rate of fewer than `min_rows` rows takes no part: a few rows would make the largest difference.
    """
    names, codes = np.unique(members, return_inverse=True)
    counted = cells.count(codes, truth, *answers)
    groups, images = len(names), range(2, 2 + len(answers))
    rates = [_rates(counted, number, counted.rows[None, :], groups) for number in images]
    rates = [Rates(rate.selected[:, 0], rate.rows[:, 0]) for rate in rates]
    enough = rates[0].rows >= max(min_rows, 1)
    resampled = []
    if len(answers) > 1:
        smoothed = cells.with_unseen(counted, 2, _PRIOR, leading=2)
        if units:
            kinds = cells.kinds_of(codes, truth, *answers)
            drawn = cells.draw_units(counted, smoothed, kinds, units, rounds, seed)
        else:
            drawn = cells.draw(smoothed, rounds, seed)
        resampled = [_parity(_rates(smoothed, number, drawn, groups), enough) for number in images]
    points = [
        {name: float(value[0]) for name, value in _parity(_one(rate), enough).items()} for rate in rates
    ]
    sizes = {name: int(rows) for name, rows in zip(names.tolist(), rates[0].rows[0], strict=True)}
    left_out = {name: rows for name, rows in sizes.items() if rows < min_rows}
    independent = _independent(rates[0], codes, truth, answers[0], units) if units else rates[0]
    return Parity(column, rates, independent, enough, points, resampled, left_out)


def _independent(rates: Rates, codes: Integers, truth: Integers, answers: Integers, units: Units) -> Rates:
    """Divide the counts by their design effects (Korn and Graubard 1998)."""
    chosen = (answers == 1).astype(np.float64)
    parts = (np.ones(len(truth), dtype=np.bool_), truth == 1, truth != 1)
    effects = np.stack(
        [Units(units.codes[part]).designs(chosen[part], codes[part], rates.rows.shape[1]) for part in parts]
    )
    return Rates(rates.selected / effects, rates.rows / effects)


def _one(rates: Rates) -> Rates:
    return Rates(rates.selected[:, None], rates.rows[:, None])


def _rates(counted: cells.Cells, image: int, weights: Floats, groups: int) -> Rates:
    """Return counts [3, R, G] under the weights [R, K] of the kinds of rows."""
    group = counted.labels[:, :1] == np.arange(groups)
    positive = counted.labels[:, 1:2] == 1
    parts = (group, group & positive, group & ~positive)
    selected = np.where(counted.labels[:, image] == 1, weights, 0.0)
    return Rates(np.stack([selected @ part for part in parts]), np.stack([weights @ part for part in parts]))


def _parity(rates: Rates, enough: Booleans) -> dict[str, Floats]:
    shares = rates.share()
    measured = {}
    for kind, which in _RATES.items():
        compared = [
            share[:, some] for share, some in zip(shares[which], enough[which], strict=True) if some.sum() > 1
        ]
        for name in (f"{kind}difference", f"{kind}ratio") if compared else ():
            measured[name] = _extreme(name, compared)
    return measured


def _extreme(name: str, rates: Sequence[Floats]) -> Floats:
    """Return the largest difference, or the smallest ratio [R], of the groups' rates, arrays [R, G]."""
    high, low = (np.stack([end(rate, axis=1) for rate in rates]) for end in (np.max, np.min))
    if name.endswith("difference"):
        largest: Floats = (high - low).max(axis=0)
        return largest
    # No group with any: all are equal. (fairlearn has NaN here, which no gate can take.)
    ratios = np.divide(low, high, out=np.ones_like(low), where=high > 0)
    smallest: Floats = ratios.min(axis=0)
    return smallest


def _compared(rates: Rates, enough: Booleans, name: str) -> list[pairs.Shares]:
    which = _RATES[PARITY if name.startswith(PARITY) else ODDS]
    each = zip(rates.selected[which], rates.rows[which], enough[which], strict=True)
    return [pairs.Shares(hits[some], rows[some]) for hits, rows, some in each if some.sum() > 1]
