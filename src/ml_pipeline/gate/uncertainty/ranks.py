"""Statistics of sorted scores: over resampled rows, and how much each single row moves them.

The second, the influence of a row (Hampel 1974), makes them means of one number a row, up to a remainder
that is smaller than the interval by the square root of the rows: what a large holdout needs.
"""

from dataclasses import dataclass

import numpy as np

from ml_pipeline.gate.arrays import Booleans, Floats, Integers


@dataclass(frozen=True)
class Ranking:
    """Rows by falling score: `order` [N]; `starts` [G] is where each distinct score begins."""

    order: Integers
    starts: Integers
    positive: Booleans  # bool [N], in the rows' own order

    @classmethod
    def of(cls, positive: Booleans, scores: Floats) -> "Ranking":
        """Sort rows by `scores` [N]; `positive` [N] says which of them are the class that is looked for."""
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
        return cls(order, starts, positive)

    def split(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return the weight [R, G] of positive and of negative rows at each distinct score."""
        ranked, positive = weights[:, self.order], self.positive[self.order]
        both = ranked * positive, ranked * ~positive
        if len(self.starts) == len(self.order):
            return both
        first, second = (np.add.reduceat(part, self.starts, axis=1) for part in both)
        return first, second

    def spread(self, by_score: Floats) -> Floats:
        """Return a number [N] for each row, in the rows' own order, from one [G] for each distinct score."""
        sizes = np.diff(np.append(self.starts, len(self.order)))
        rows = np.empty(len(self.order))
        rows[self.order] = np.repeat(by_score, sizes)
        return rows


def areas(ranking: Ranking, weights: Floats) -> tuple[Floats, Floats]:
    """Return ROC AUC and average precision [R] under `weights` [R, N], as scikit-learn defines them.

    NaN in a round that drew no positive or no negative row.
    """
    positive, negative = ranking.split(weights)
    above, over = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
    total, others = above[:, -1], over[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(above + over > 0, above / (above + over), 0.0)
        area = np.einsum("rg,rg->r", negative, above - positive / 2) / (total * others)
        average = np.where(others > 0, np.einsum("rg,rg->r", positive, precision) / total, np.nan)
    return area, average


def area_influences(ranking: Ranking) -> tuple[Floats, Floats]:
    """Return what each row [N] adds to ROC AUC and to average precision: their means over rows are 0.

    For the area these are the placements of DeLong, DeLong and Clarke-Pearson (1988); for average
    precision the derivative of its own sum, taken in the same way.
    """
    rows = len(ranking.order)
    (positive,), (negative,) = ranking.split(np.ones((1, rows)))
    above, over = np.cumsum(positive), np.cumsum(negative)
    total, others = above[-1], over[-1]
    beaten = (others - over + negative / 2) / others  # share of the negatives below this score
    missed = (above - positive / 2) / total  # share of the positives above it
    area = beaten @ positive / total
    precision = above / (above + over)
    average = precision @ positive / total
    # A row's weight also counts in the precision at every lower score.
    below = np.cumsum((positive * over / (above + over) ** 2)[::-1])[::-1]
    dilution = np.cumsum((positive * above / (above + over) ** 2)[::-1])[::-1]
    is_positive = ranking.positive
    of_area = np.where(
        is_positive,
        ranking.spread(beaten - area) * rows / total,
        ranking.spread(missed - area) * rows / others,
    )
    of_average = np.where(is_positive, ranking.spread(precision - average + below), ranking.spread(-dilution))
    return of_area, of_average * rows / total
