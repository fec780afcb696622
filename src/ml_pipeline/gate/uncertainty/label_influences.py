"""What each kind of row adds to the metrics that labels alone decide.

The influence of a row (Hampel 1974) is the derivative of a metric in the row's share. A metric varies between
holdouts as the mean of its rows' influences does.
"""

import numpy as np

from ml_pipeline.gate.arrays import Floats, Integers
from ml_pipeline.gate.uncertainty.cells import Cells

Influences = dict[str, tuple[float, Floats]]  # metric → its value, and the influence of each kind [K]


def of(cells: Cells, image: int, classes: int, positive: int | None) -> Influences:
    """Return the metrics of one image (1: the candidate, 2: the baseline).

    The values are scikit-learn's, with `zero_division` = 0 and the averages that `metrics.classification`
    names.
    """
    table = _Table(cells, image, classes)
    found = {
        "accuracy": table.accuracy(),
        "balanced_accuracy": table.mean_recall(present=True),
        "f1_macro": table.mean_f1(),
        "f1_weighted": table.weighted_f1(),
        "mcc": table.correlation(),
    }
    if positive is None:
        one = {
            "precision": table.mean_precision(),
            "recall": table.mean_recall(present=False),
            "f1": table.mean_f1(),
        }
    else:
        one = table.of_class(positive)
    return found | one


class _Table:
    """Shares of rows by class: in the truth, in the answers, in both; and the kinds that they are of."""

    def __init__(self, cells: Cells, image: int, classes: int) -> None:
        self.classes = classes
        self.shares = cells.rows / cells.rows.sum()
        self.truth, self.answer = cells.labels[:, 0], cells.labels[:, image]
        self.hit = (self.truth == self.answer).astype(np.float64)
        self.named = self.answer >= 0  # else a class that the model lacks
        self.of_truth = _sums(self.truth, self.shares, classes)
        self.of_answer = _sums(self.answer + 1, self.shares, classes + 1)
        self.right = _sums(self.truth, self.shares * self.hit, classes)
        self.recalls = _ratio(self.right, self.of_truth)
        self.precisions = _ratio(self.right, self.of_answer[1:])
        self.f1s = _ratio(2 * self.right, self.of_truth + self.of_answer[1:])

    def _by_answer(self, of_class: Floats) -> Floats:
        at_answer: Floats = np.where(self.named, of_class[np.maximum(self.answer, 0)], 0.0)
        return at_answer

    def _f1_influences(self, weight: Floats) -> Floats:
        scale = _ratio(weight, self.of_truth + self.of_answer[1:])
        at_truth = (scale * self.f1s)[self.truth]
        influences: Floats = 2 * self.hit * scale[self.truth] - at_truth - self._by_answer(scale * self.f1s)
        return influences

    def accuracy(self) -> tuple[float, Floats]:
        share = float(self.right.sum())
        return share, self.hit - share

    def mean_recall(self, *, present: bool) -> tuple[float, Floats]:
        over = int((self.of_truth > 0).sum()) if present else self.classes
        each = _ratio(np.ones(self.classes), self.of_truth)
        return float(self.recalls.sum()) / over, (self.hit - self.recalls[self.truth]) * each[
            self.truth
        ] / over

    def mean_precision(self) -> tuple[float, Floats]:
        each = _ratio(np.ones(self.classes), self.of_answer[1:])
        apart = (self.hit - self._by_answer(self.precisions)) * self._by_answer(each)
        return float(self.precisions.mean()), apart / self.classes

    def mean_f1(self) -> tuple[float, Floats]:
        return float(self.f1s.mean()), self._f1_influences(np.full(self.classes, 1 / self.classes))

    def weighted_f1(self) -> tuple[float, Floats]:
        value = float(self.f1s @ self.of_truth)
        return value, self.f1s[self.truth] - value + self._f1_influences(self.of_truth)

    def correlation(self) -> tuple[float, Floats]:
        """Return Matthews' correlation in its form for several classes (Gorodkin 2004)."""
        above = float(self.right.sum() - self.of_truth @ self.of_answer[1:])
        below = 1 - float(self.of_answer @ self.of_answer), 1 - float(self.of_truth @ self.of_truth)
        if min(below) < 1e-12:
            return 0.0, np.zeros(len(self.hit))
        value = above / (below[0] * below[1]) ** 0.5
        moved = self.hit - self.of_answer[1:][self.truth] - self._by_answer(self.of_truth)
        parts = (-2 * self.of_answer[self.answer + 1], -2 * self.of_truth[self.truth])
        relative = self._centred(parts[0]) / below[0] + self._centred(parts[1]) / below[1]
        return value, self._centred(moved) / (below[0] * below[1]) ** 0.5 - value / 2 * relative

    def _centred(self, values: Floats) -> Floats:
        centred: Floats = values - self.shares @ values
        return centred

    def of_class(self, label: int) -> Influences:
        true, answered = self.truth == label, self.answer == label
        only = np.zeros(self.classes)
        only[label] = 1
        recall, precision, f1 = (float(of[label]) for of in (self.recalls, self.precisions, self.f1s))
        sizes = self.of_truth[label], self.of_answer[label + 1]
        return {
            "recall": (recall, true * (self.hit - recall) / max(sizes[0], 1e-15)),
            "precision": (precision, answered * (self.hit - precision) / max(sizes[1], 1e-15)),
            "f1": (f1, self._f1_one(only, label)),
        }

    def _f1_one(self, only: Floats, label: int) -> Floats:
        scale = only / max(self.of_truth[label] + self.of_answer[label + 1], 1e-15)
        counted = (self.truth == label).astype(np.float64) + (self.answer == label)
        influences: Floats = 2 * self.hit * scale[self.truth] - self.f1s[label] * scale[label] * counted
        return influences


def _sums(numbers: Integers, weights: Floats, size: int) -> Floats:
    return np.bincount(numbers, weights, size).astype(np.float64, copy=False)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 1e-15)
