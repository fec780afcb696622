"""Intervals of the metrics that labels alone decide: of two classes or of many, of few rows or of many.

Accuracy, and recall and precision of one class, are shares of rows, and have the interval of a share. F1 has
that of a share too. An average over classes has the interval of a share of as many rows as would make it vary
as the average does: its effective number of rows (Korn and Graubard 1998). So every interval has its metric
inside, stays in the metric's range, and has a width where an image errs on none of the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ml_pipeline.common.gates import Interval
from ml_pipeline.gate.arrays import Booleans, Floats, Integers
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.uncertainty import cells, label_influences
from ml_pipeline.gate.uncertainty.bootstrap import MIN_ROWS
from ml_pipeline.gate.uncertainty.shares import Apart, Overlap, Share, nothing
from ml_pipeline.gate.uncertainty.units import Units
from ml_pipeline.model.signature import Label

# Rows of each class that an average over classes needs. Of fewer, macro F1 of 10 and 32 classes covers in 47
# to 92 % of holdouts.
CLASS_ROWS = 10
# Rows that each class gets for what the holdout may lack by chance: of two classes as many as Bonett and
# Price (2012) add, and of many classes not more in total.
_PRIOR, _TOTAL = 2.0, 4.0
_AVERAGES = ("balanced_accuracy", "f1_macro", "mcc")
_OF_ONE_CLASS = ("precision", "recall", "f1")


@dataclass
class MetricIntervals:
    """Intervals of the candidate's metrics and of their differences, and why others have none."""

    values: dict[str, Interval] = field(default_factory=dict)
    differences: dict[str, Interval] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Metric:
    value: float
    interval: Interval
    moved: Floats  # how each kind of row [K], or each unit [G], moves it: products of them are covariances


def intervals(
    truth: Integers,
    images: Sequence[Answers],
    classes: Sequence[Label],
    positive: int | None,
    units: Units | None = None,
) -> MetricIntervals:
    """Return the intervals for class indices `truth` [N] and the answers of one image or two."""
    columns = [truth, *(image.indices for image in images)]
    counted = cells.count(*columns)
    prior = min(_PRIOR, _TOTAL / len(classes))
    smoothed = cells.with_unseen(counted, len(classes), prior)
    drawn = _Drawn(counted, smoothed, units, cells.kinds_of(*columns) if units else None)
    each = [
        _metrics(truth, image.indices, drawn, number, len(classes), positive)
        for number, image in enumerate(images, 1)
    ]
    result = MetricIntervals(missing=_too_few(truth, classes, positive))
    for name in each[0].keys() - result.missing.keys():
        result.values[name] = each[0][name].interval
        if len(images) > 1:
            apart = nothing if same(*images) else _apart(each[0][name], each[1][name])
            result.differences[name] = apart
    return result


def same(one: Answers, other: Answers) -> bool:
    """Say whether two images are the same: on few rows, labels agree by chance, but probabilities do not."""
    if one.probabilities is None or other.probabilities is None:
        return False
    return np.array_equal(one.predicted, other.predicted) and np.array_equal(
        np.asarray(one.probabilities), np.asarray(other.probabilities)
    )


@dataclass(frozen=True)
class _Drawn:
    """The holdout as kinds of rows, as it is and smoothed, and what is drawn: rows, or units of rows."""

    counted: cells.Cells
    smoothed: cells.Cells
    units: Units | None
    kinds: Integers | None  # of each row [N]; None without units

    def design(self, influences: Floats) -> float:
        """Return the design effect of a metric with these influences of each kind [K]."""
        return self.units.design(influences[self.kinds]) if self.units else 1.0

    def moved(self, influences: Floats) -> Floats:
        if self.units:
            return self.units.sums(influences[self.kinds])
        moved: Floats = influences * np.sqrt(self.smoothed.rows)
        return moved


def _metrics(
    truth: Integers,
    answers: Integers,
    drawn: _Drawn,
    image: int,
    classes: int,
    positive: int | None,
) -> dict[str, _Metric]:
    points = label_influences.of(drawn.counted, image, classes, positive)
    measured = {}
    for name, (smooth, influences) in label_influences.of(drawn.smoothed, image, classes, positive).items():
        value, design = points[name][0], drawn.design(influences)
        interval: Interval
        if name in _OF_ONE_CLASS and positive is not None:
            interval = _of_class(name, truth == positive, answers == positive, design)
        else:
            low = -1.0 if name == "mcc" else 0.0
            rows = _effective(smooth, influences, drawn.smoothed.rows, low)
            interval = Share(value, (len(truth) if name == "accuracy" else rows) / design, low)
        measured[name] = _Metric(value, interval, drawn.moved(influences))
    return measured


def _of_class(name: str, true: Booleans, answered: Booleans, design: float) -> Interval:
    both = int((true & answered).sum())
    of = {"recall": true, "precision": answered, "f1": true | answered}[name]
    rows = int(of.sum())
    share = both / rows if rows else 0.0
    return Overlap(share, rows / design) if name == "f1" else Share(share, rows / design)


def _effective(value: float, influences: Floats, rows: Floats, low: float) -> float:
    """Return of how many rows a share of this value would vary as the metric does."""
    total, size = rows.sum(), 1 - low
    variance = float(rows @ influences**2) / total / total / size**2
    share = (value - low) / size
    return share * (1 - share) / variance if variance > 0 else 0.0


def _apart(one: _Metric, other: _Metric) -> Apart:
    squares = float(one.moved @ one.moved) * float(other.moved @ other.moved)
    correlation = float(one.moved @ other.moved) / squares**0.5 if squares > 0 else 0.0
    return Apart(one.value, other.value, one.interval, other.interval, correlation)


def _too_few(truth: Integers, classes: Sequence[Label], positive: int | None) -> dict[str, str]:
    rows = np.bincount(truth, minlength=len(classes))
    fewest = int(rows.argmin())
    has = f"{rows[fewest]} holdout rows are of class {classes[fewest]!r}, and"
    ranks = dict.fromkeys(("roc_auc", "average_precision"), f"{has} {MIN_ROWS} are needed")
    if rows[fewest] >= CLASS_ROWS:
        return ranks if rows[fewest] < MIN_ROWS else {}
    reason = f"{has} {CLASS_ROWS} are needed"
    averages = _AVERAGES if positive is not None else (*_AVERAGES, *_OF_ONE_CLASS)
    others = len(truth) - int(rows.max())
    return {name: reason for name in averages if name != "mcc" or others < CLASS_ROWS} | ranks
