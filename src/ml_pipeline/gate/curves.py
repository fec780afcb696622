"""What the report draws of a classifier: the confusion matrix, curves, calibration."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn import metrics as sk

from ml_pipeline.common.verdict import Bin, Confusion, Point
from ml_pipeline.gate.answers import Holdout
from ml_pipeline.gate.arrays import Booleans, Floats, Integers
from ml_pipeline.gate.metrics import Answers, bins, probability_fault

CURVE_POINTS = 200


@dataclass(frozen=True)
class Curves:
    """Entries of verdict.json; None: there is nothing to draw."""

    confusion: Confusion | None = None
    roc: list[Point] | None = None
    precision_recall: list[Point] | None = None
    calibration: list[Bin] | None = None


def of(holdout: Holdout, answers: Answers) -> Curves:
    """Return what is drawn; nothing of a regression, and no curves without valid probabilities."""
    truth, task = holdout.indices, holdout.task
    if task.classes is None:
        return Curves()
    count = len(task.classes)
    matrix = confusion(truth, answers.indices, count)
    drawn = Curves({"classes": task.classes, "matrix": matrix})
    if probability_fault(answers.probabilities, count):
        return drawn
    shares = np.asarray(answers.probabilities, dtype=np.float64)
    if task.positive is None:  # of several classes: is the chosen one as often right as it is sure?
        return replace(drawn, calibration=calibration(truth == answers.indices, shares.max(axis=1)))
    observed, scores = truth == task.positive, shares[:, task.positive]
    drawn = replace(drawn, calibration=calibration(observed, scores))
    if 0 < observed.sum() < len(observed):
        drawn = replace(drawn, roc=roc(observed, scores), precision_recall=precision_recall(observed, scores))
    return drawn


def confusion(truth: Integers, predicted: Integers, classes: int) -> list[list[int]]:
    """Return counts [C][C]: a row is a true class, a column a predicted one."""
    table: list[list[int]] = sk.confusion_matrix(truth, predicted, labels=list(range(classes))).tolist()
    return table


def roc(truth: Booleans, scores: Floats) -> list[Point]:
    """Return at most `CURVE_POINTS` points [false positive rate, true positive rate] of booleans [N]."""
    false_positive, true_positive, _ = sk.roc_curve(truth, scores)
    return _thinned(false_positive, true_positive)


def precision_recall(truth: Booleans, scores: Floats) -> list[Point]:
    """Return at most `CURVE_POINTS` points [recall, precision] of booleans [N], from recall 0 to 1."""
    precision, recall, _ = sk.precision_recall_curve(truth, scores, drop_intermediate=True)
    return _thinned(recall[::-1], precision[::-1])


def _thinned(across: Floats, up: Floats) -> list[Point]:
    kept = np.unique(np.linspace(0, len(across) - 1, CURVE_POINTS).round().astype(np.int64))
    points = np.column_stack([across, up])[kept].round(5).tolist()
    return [(x, y) for x, y in points]


def calibration(observed: Booleans, scores: Floats) -> list[Bin]:
    """Return the filled ones of ten equal bins of scores [N]: mean score, share of `observed` [N], rows."""
    where = bins(scores)
    return [
        {
            "predicted": round(float(scores[where == b].mean()), 5),
            "observed": round(float(observed[where == b].mean()), 5),
            "rows": int((where == b).sum()),
        }
        for b in np.unique(where)
    ]
