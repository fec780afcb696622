"""How a model does in each group of a column, and how far the groups are apart."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np
import polars as pl
from scipy import stats

from ml_pipeline.common import verdict
from ml_pipeline.gate.arrays import Floats, Integers, Texts

MIN_ROWS = 30  # of fewer rows nothing is claimed
MAX_GROUPS = 20  # a column of numbers with more distinct values is cut at its quartiles
MISSING = "(missing)"
CROSSING = " × "  # noqa: RUF001 - as the reader writes it

Kind = Literal["sensitive", "slice"]
Shares = dict[str, tuple[int, int]]  # metric → hits, and rows that could have been hits


@dataclass(frozen=True)
class Grouping:
    """One column's groups: `members` is the name of each row's group [N]; `kind` is sensitive or slice."""

    column: str
    kind: Kind
    members: Texts


@dataclass(frozen=True)
class Group:
    """The rows of one group of one column. A metric of too few rows is None."""

    column: str
    kind: Kind
    name: str
    rows: int
    metrics: dict[str, float | None]
    intervals: dict[str, verdict.Interval] = field(default_factory=dict)  # of shares, at 95 %

    def as_dict(self) -> verdict.Group:
        """Return the entry of `groups` in verdict.json."""
        # Its metrics are further keys, which a TypedDict can't name.
        entry = {
            "column": self.column,
            "kind": self.kind,
            "group": self.name,
            "rows": self.rows,
            **self.metrics,
            "intervals": self.intervals,
        }
        return cast("verdict.Group", entry)


def coded(series: pl.Series) -> tuple[Integers, list[str]]:
    """Return each value's group as a number [N], and the groups' names: the value itself, or its quartile."""
    if series.dtype.is_float():
        series = series.fill_nan(None)
    distinct = series.drop_nulls().unique().sort()
    if series.dtype.is_numeric() and len(distinct) > MAX_GROUPS:
        return _quartiles(series.cast(pl.Float64).to_numpy())
    names = [str(value) for value in distinct.to_list()]
    if series.null_count():
        names.append(MISSING)
    missing = len(names) - 1
    codes = series.replace_strict(distinct, range(len(distinct)), default=missing, return_dtype=pl.Int64)
    return codes.fill_null(missing).to_numpy(), names


def _quartiles(numbers: Floats) -> tuple[Integers, list[str]]:
    present = numbers[~np.isnan(numbers)]
    edges = np.unique(np.quantile(present, (0, 0.25, 0.5, 0.75, 1)))
    names = [f"{a:g} to {b:g}" for a, b in itertools.pairwise(edges)]
    # A bin holds its lower edge; the last one both.
    bins = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(names) - 1)
    if len(present) < len(numbers):
        names.append(MISSING)
    return np.where(np.isnan(numbers), len(names) - 1, bins), names


def members(series: pl.Series) -> Texts:
    """Return the name of each value's group [N]."""
    codes, names = coded(series)
    return np.asarray(names)[codes]


def crossed(*columns: Texts) -> Texts:
    """Return the name [N] of each row's group where the groups of several columns [N] meet."""
    names = columns[0]
    for column in columns[1:]:
        names = np.char.add(np.char.add(names, CROSSING), column)
    return names


def classification(
    grouping: Grouping,
    truth: Integers,
    predicted: Integers,
    positive: int | None,
    *,
    min_rows: int = MIN_ROWS,
) -> list[Group]:
    """Measure each group of class indices: accuracy and, where there is a positive class, its rates.

    Rates are fairlearn's (`fairlearn.metrics`: selection_rate, true_positive_rate, false_positive_rate),
    but None where fewer than `min_rows` rows are what the rate is of (fairlearn: 0 where there are none).
    """

    def shares(rows: Integers) -> Shares:
        y, y_hat = truth[rows], predicted[rows]
        chosen = {"accuracy": y == y_hat}
        if positive is not None:
            selected = y_hat == positive
            chosen |= {
                "selection_rate": selected,
                "true_positive_rate": selected[y == positive],
                "false_positive_rate": selected[y != positive],
            }
        return {name: (int(rows.sum()), len(rows)) for name, rows in chosen.items()}

    enough = max(min_rows, 1)
    groups = []
    for name, rows in _split(grouping):
        counted = shares(rows)
        sufficient = {name: pair for name, pair in counted.items() if pair[1] >= enough}
        groups.append(
            Group(
                grouping.column,
                grouping.kind,
                name,
                len(rows),
                {metric: hits / of if of >= enough else None for metric, (hits, of) in counted.items()},
                {metric: interval(*pair) for metric, pair in sufficient.items()},
            )
        )
    return groups


def interval(hits: int, rows: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the ends of the interval of a share (Jeffreys: Brown, Cai and DasGupta 2001)."""
    ends = stats.beta.ppf([(1 - confidence) / 2, (1 + confidence) / 2], hits + 0.5, rows - hits + 0.5)
    return (float(ends[0]) if hits else 0.0, float(ends[1]) if hits < rows else 1.0)


def regression(
    grouping: Grouping, truth: Floats, predicted: Floats, *, min_rows: int = MIN_ROWS
) -> list[Group]:
    """Measure each group of values: RMSE, MAE and the mean error (above 0: predicted too high)."""

    groups = []
    for name, rows in _split(grouping):
        error = (predicted - truth)[rows]
        metrics = {
            "rmse": float(np.sqrt(np.mean(error**2))),
            "mae": float(np.mean(np.abs(error))),
            "mean_error": float(np.mean(error)),
        }
        shown = {metric: value if len(error) >= min_rows else None for metric, value in metrics.items()}
        groups.append(Group(grouping.column, grouping.kind, name, len(rows), shown))
    return groups


def _split(grouping: Grouping) -> Iterator[tuple[str, Integers]]:
    """Yield each group's name and its rows' numbers."""
    names, codes = np.unique(grouping.members, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes))
    yield from zip(names.tolist(), np.split(order, ends[:-1]), strict=True)
