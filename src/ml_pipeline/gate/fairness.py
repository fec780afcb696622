"""How far the groups of sensitive columns are apart, by fairlearn's definitions, with intervals.

Selection rate: the share of answers that are the positive class. Demographic parity compares the groups'
selection rates, equalized odds their true and their false positive rates, whichever are further apart;
the difference is the largest minus the smallest, the ratio the smallest over the largest
(`fairlearn.metrics`; Agarwal et al. 2018, Hardt, Price and Srebro 2016).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml_pipeline.common.metrics.table import METRICS
from ml_pipeline.gate.arrays import Booleans, Floats, Integers, Texts
from ml_pipeline.gate.uncertainty import cells
from ml_pipeline.gate.uncertainty.cells import Cells
from ml_pipeline.gate.uncertainty.resampling import ROUNDS, SEED


@dataclass(frozen=True)
class Parity:
    """One column's measures, or those of several columns' crossing: on the holdout, and in each round [R]."""

    column: str
    points: list[dict[str, float]]  # of each image
    rounds: list[dict[str, Floats]]


def measure(
    column: str,
    members: Texts,
    truth: Integers,
    answers: Sequence[Integers],
    *,
    min_rows: int,
    rounds: int = ROUNDS,
    seed: int = SEED,
) -> Parity:
    """Measure the groups `members` [N]; `truth` and each image's `answers` [N] say whether it is positive.

    A rate of fewer than `min_rows` rows takes no part: a few rows would make the largest difference.
    The interval is of the groups that do, resampled with their counts.
    """
    names, codes = np.unique(members, return_inverse=True)
    counted = cells.with_unseen(cells.count(codes, truth, *answers), 2, leading=2)
    exact = counted.rows[None, :].astype(np.float64)
    drawn = cells.draw(counted, rounds, seed)
    points, resampled = [], []
    for number in range(2, 2 + len(answers)):
        enough = _sizes(counted, exact, len(names))[:, 0] >= max(min_rows, 1)
        points.append({k: float(v[0]) for k, v in _parity(counted, number, exact, enough).items()})
        resampled.append(_parity(counted, number, drawn, enough))
    return Parity(column, points, resampled)


def _sizes(counted: Cells, weights: Floats, groups: int) -> Floats:
    """Return what each rate of each group is of [3, R, G]: all rows, the positive ones, the others."""
    group = counted.labels[:, :1] == np.arange(groups)
    positive = counted.labels[:, 1:2] == 1
    return np.stack([weights @ part for part in (group, group & positive, group & ~positive)])


def _parity(counted: Cells, image: int, weights: Floats, enough: Booleans) -> dict[str, Floats]:
    groups = enough.shape[1]
    selected = np.where(counted.labels[:, image] == 1, weights, 0.0)
    whole, part = _sizes(counted, weights, groups), _sizes(counted, selected, groups)
    rates = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    apart, ratio = {}, {}
    for index, name in enumerate(("selection", "true_positive", "false_positive")):
        if enough[index].sum() > 1:
            compared = rates[index][:, enough[index]]
            high, low = compared.max(axis=1), compared.min(axis=1)
            apart[name] = high - low
            # No group with any: all are equal. (fairlearn has NaN here, which no gate can take.)
            ratio[name] = np.divide(low, high, out=np.ones_like(low), where=high > 0)
    parity = {}
    if "selection" in apart:
        parity["demographic_parity_difference"] = apart.pop("selection")
        parity["demographic_parity_ratio"] = ratio.pop("selection")
    if apart:
        parity["equalized_odds_difference"] = np.max(list(apart.values()), axis=0)
        parity["equalized_odds_ratio"] = np.min(list(ratio.values()), axis=0)
    return parity


def worst(parities: Sequence[Parity], name: str, image: int = 0) -> Parity | None:
    """Return the column, or crossing, that is worst by one measure; None where none has it."""
    measured = {parity.column: parity for parity in parities if name in parity.points[image]}
    if not measured:
        return None
    choose = min if METRICS[name].higher_is_better else max
    return choose(measured.values(), key=lambda parity: parity.points[image][name])
