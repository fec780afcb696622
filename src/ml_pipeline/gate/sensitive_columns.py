"""Fairness over all sensitive columns: the metrics are those of the worst column."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from ml_pipeline.common.metrics.table import names
from ml_pipeline.common.rules import CONFIDENCE, Difference, Measured
from ml_pipeline.common.verdict import ColumnFairness
from ml_pipeline.gate import fairness, groups
from ml_pipeline.gate.answers import Holdout
from ml_pipeline.gate.fairness import Parity
from ml_pipeline.gate.groups import Grouping
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.quality import Quality
from ml_pipeline.gate.uncertainty import intervals


def add(quality: Quality, sensitive: Sequence[Grouping], holdout: Holdout, images: Sequence[Answers]) -> None:
    """Add the metrics of the column that is worst by each of them, and the entries of all columns."""
    positive = holdout.task.positive
    parities: list[Parity] = []
    if positive is not None:
        truth = (holdout.indices == positive).astype(np.int64)
        answers = [(image.indices == positive).astype(np.int64) for image in images]
        parities = [
            fairness.measure(grouping.column, grouping.members, truth, answers, min_rows=groups.MIN_ROWS)
            for grouping in sensitive
        ]
    for parity in parities:
        if parity.points[0]:
            spreads = intervals.spreads(parity.points[0], parity.rounds[0])
            ends = {name: spread(CONFIDENCE) for name, spread in spreads.items()}
            # Its metrics are further keys, which a TypedDict can't name.
            entry = {"column": parity.column, **parity.points[0], "intervals": ends}
            quality.fairness.append(cast("ColumnFairness", entry))
    for name in names("fairness"):
        worst = fairness.worst(parities, name)
        if worst:
            quality.measured[name] = _compared(name, worst)
        else:
            quality.missing[name] = _reason(bool(sensitive), positive)


def _compared(name: str, parity: Parity) -> Measured:
    value, spread = parity.points[0][name], intervals.spreads(parity.points[0], parity.rounds[0]).get(name)
    if len(parity.points) == 1 or name not in parity.points[1]:
        return Measured(value, None, spread, None, parity.column)
    baseline = parity.points[1][name]
    apart = intervals.difference(name, value - baseline, parity.rounds[0][name], parity.rounds[1][name])
    difference = Difference(value - baseline, apart, parity.column)
    return Measured(value, baseline, spread, difference, parity.column)


def _reason(sensitive: bool, positive: int | None) -> str:
    if not sensitive:
        return "[tool.ml-pipeline.data] has no sensitive column"
    if positive is None:
        return "it needs two classes, one of them positive"
    return f"no sensitive column has two groups of {groups.MIN_ROWS} rows"
