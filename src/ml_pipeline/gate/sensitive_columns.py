"""Fairness over all sensitive columns: a metric is that of the worst column, a loss that of any column."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from ml_pipeline.common.gates import CONFIDENCE, FEW, Difference, Measured
from ml_pipeline.common.metrics.table import METRICS, names
from ml_pipeline.common.verdict import ColumnFairness
from ml_pipeline.common.wording import number
from ml_pipeline.gate import fairness, groups
from ml_pipeline.gate.answers import Holdout
from ml_pipeline.gate.fairness import Parity
from ml_pipeline.gate.groups import Grouping
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.quality import Quality
from ml_pipeline.gate.uncertainty import intervals, labels

Ends = tuple[float, float]
SHOWN = 3  # groups that a message names


def add(quality: Quality, sensitive: Sequence[Grouping], holdout: Holdout, images: Sequence[Answers]) -> None:
    """Add the metrics of the column that is worst by each of them, and the entries of all columns."""
    positive = holdout.task.positive
    parities: list[Parity] = []
    if positive is not None:
        truth = (holdout.indices == positive).astype(np.int64)
        answers = [(image.indices == positive).astype(np.int64) for image in images]
        parities = [
            fairness.measure(
                grouping.column,
                grouping.members,
                truth,
                answers,
                min_rows=groups.MIN_ROWS,
                units=holdout.units,
            )
            for grouping in sensitive
        ]
    for parity in parities:
        if parity.points[0] or parity.left_out:
            quality.fairness.append(_entry(parity, sum(bool(other.points[0]) for other in parities)))
    for name in names("fairness"):
        measured = tuple(parity for parity in parities if name in parity.points[0])
        columns = Columns(name, measured, same=len(images) > 1 and labels.same(*images))
        if columns.parities:
            quality.measured[name] = columns.measured()
        else:
            quality.missing[name] = _reason(sensitive, positive, parities)


@dataclass(frozen=True)
class Columns:
    """The columns in which one metric is measured. Each has its part of the allowed error."""

    name: str
    parities: tuple[Parity, ...]
    same: bool = False  # the two images

    def measured(self) -> Measured:
        """Return the worst column's value, and the largest loss of any column."""
        worst = self._worst([parity.points[0][self.name] for parity in self.parities])
        value, expected = worst.points[0][self.name], worst.expected(self.name)
        note = f"if all groups were alike, about {number(expected)} is expected in groups of these sizes"
        baseline, difference = None, None
        if len(worst.points) > 1:
            baseline = worst.points[1][self.name]
            lost = self._worst([self._change(parity) for parity in self.parities])
            difference = Difference(self._change(lost), self.differences, lost.column)
        return Measured(value, baseline, self.intervals, difference, worst.column, note=note)

    def intervals(self, confidence: float) -> Ends:
        """Return the interval of the worst column's true value, whichever column that is."""
        return self._extreme([parity.interval(self.name, self._each(confidence)) for parity in self.parities])

    def differences(self, confidence: float) -> Ends | None:
        """Return the interval of the largest loss of any column."""
        if self.same:
            return 0.0, 0.0
        ends = []
        for parity in self.parities:
            rounds = (image[self.name] for image in parity.rounds)
            interval = intervals.difference(self.name, self._change(parity), *rounds)(self._each(confidence))
            if interval is None:
                return None
            ends.append(interval)
        return self._extreme(ends)

    def _each(self, confidence: float) -> float:
        return 1 - (1 - confidence) / len(self.parities)

    def _change(self, parity: Parity) -> float:
        return parity.points[0][self.name] - parity.points[1][self.name]

    def _worst(self, values: Sequence[float]) -> Parity:
        higher = METRICS[self.name].higher_is_better
        return self.parities[int(np.argmin(values) if higher else np.argmax(values))]

    def _extreme(self, ends: Sequence[Ends]) -> Ends:
        extreme = min if METRICS[self.name].higher_is_better else max
        return extreme(low for low, _ in ends), extreme(high for _, high in ends)


def _entry(parity: Parity, columns: int) -> ColumnFairness:
    level = 1 - (1 - CONFIDENCE) / max(columns, 1)
    # Its metrics are further keys, which a TypedDict can't name.
    entry = {
        "column": parity.column,
        **parity.points[0],
        "intervals": {name: parity.interval(name, level) for name in parity.points[0]},
        "expected_if_alike": {name: parity.expected(name) for name in parity.points[0]},
        "left_out": parity.left_out,
    }
    return cast("ColumnFairness", entry)


def _reason(sensitive: Sequence[Grouping], positive: int | None, parities: Sequence[Parity]) -> str:
    if not sensitive:
        return "[tool.ml-pipeline.data] has no sensitive column"
    if positive is None:
        return "it needs two classes, one of them positive"
    sizes = [f"{name} has {rows}" for parity in parities[:1] for name, rows in parity.left_out.items()]
    small = f" ({', '.join(sizes[:SHOWN])})" if sizes else ""
    return f"{FEW}no sensitive column has two groups of {groups.MIN_ROWS} rows{small}"
