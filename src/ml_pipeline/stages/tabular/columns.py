"""Columns fitted to training rows: how raw values become a network's numbers.

Numeric values are centred and scaled in double precision, then become float32; the
network embeds them piecewise linearly between `edges`. Strings become indices into
one table. The same few operations are written into the ONNX graph by `export`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ml_pipeline.stages.outcome import StageFailure

DAY = 86_400.0
# A moment is also embedded by its place in the day, the week and the year (in seconds).
PERIODS = (0.0, DAY, 7 * DAY, 365.2425 * DAY)
MIN_COUNT = 3  # a string value that is rarer than this is treated as an unseen one
MAX_VALUES = 5_000  # the most frequent values of a string column that get their own embedding
Array = Any  # numpy is untyped here


@dataclass(frozen=True)
class Feature:
    """One numeric feature: `(value - center) * scale`, embedded between `edges`.

    `period` > 0 takes the value's remainder first: the place in a day, a week, a year.
    """

    column: str
    period: float
    center: float
    scale: float
    edges: Array  # float32 [B + 1], ascending, scaled


@dataclass(frozen=True)
class Category:
    """A string column: `values[i]` has index `offset + 1 + i`, anything else `offset`."""

    column: str
    offset: int
    values: tuple[str, ...]  # "" stands for a missing value


@dataclass(frozen=True)
class Encoded:
    """N rows as the network takes them, in the order of `Columns`."""

    numeric: Array  # float32 [N, F]; a missing value is 0, the median
    missing: Array  # float32 [N, M]; 1 where the value is missing
    codes: Array  # int64 [N, K], indices into one table


@dataclass(frozen=True)
class Columns:
    """What the network is given, fitted to training rows."""

    types: dict[str, str]  # each used column: integer, number, boolean, datetime or string
    features: tuple[Feature, ...]
    flagged: tuple[str, ...]  # columns with a missing-value indicator
    categories: tuple[Category, ...]
    unused: tuple[str, ...]  # columns that carry nothing: one value only, or all rare

    @property
    def table_size(self) -> int:
        return sum(len(category.values) + 1 for category in self.categories)


def column_type(name: str, dtype: Any) -> str:
    """The schema's name for a Parquet column's type; StageFailure for one that has none."""
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "number"
    if dtype in (pl.Date, pl.Datetime):
        return "datetime"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "string"
    raise StageFailure(
        f"column {name!r} is of type {dtype}, which the trainer can't use",
        "convert it to a number, string, boolean or datetime, or name it in data.exclude",
    )


def raw(series: Any) -> Array:
    """A column as the model's input takes it: float64 with NaN, or objects with ""."""
    kind = column_type(series.name, series.dtype)
    if kind == "string":
        return series.cast(pl.String).fill_null("").to_numpy().astype(object)
    if kind == "datetime":
        milliseconds = series.cast(pl.Datetime("us")).dt.timestamp("us").cast(pl.Float64)
        series = milliseconds / 1e6
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def fit(frame: Any, bins: int) -> Columns:
    """Fit to the columns of `frame` (without the target)."""
    types: dict[str, str] = {}
    features: list[Feature] = []
    flagged: list[str] = []
    categories: list[Category] = []
    unused: list[str] = []
    offset = 0
    for series in frame:
        name, kind = series.name, column_type(series.name, series.dtype)
        if kind == "string":
            values = _vocabulary(series)
            if len(values) + (sum(values.values()) < frame.height) > 1 and values:
                categories.append(Category(name, offset, tuple(sorted(values))))
                offset += len(values) + 1
                types[name] = kind
        else:
            column = raw(series)
            fitted = [
                _feature(name, column, period, bins) for period in (PERIODS if kind == "datetime" else (0.0,))
            ]
            kept = [feature for feature in fitted if feature is not None]
            features += kept
            gaps = np.isnan(column)
            if gaps.any() and not gaps.all():
                flagged.append(name)
            if kept or name in flagged:
                types[name] = kind
        if name not in types:
            unused.append(name)
    if not types:
        raise StageFailure(
            "no column carries anything to learn from",
            "check data.path and data.exclude: each column is constant, empty or has no value twice",
        )
    return Columns(types, tuple(features), tuple(flagged), tuple(categories), tuple(unused))


def encode(columns: Columns, frame: Any) -> Encoded:
    """Rows of the fitted columns as arrays; `frame` may have other columns too."""
    values = {name: raw(frame[name]) for name, kind in columns.types.items() if kind != "string"}
    numeric = np.zeros((frame.height, len(columns.features)), np.float32)
    for index, feature in enumerate(columns.features):
        numeric[:, index] = _scaled(values[feature.column], feature)
    missing = np.zeros((frame.height, len(columns.flagged)), np.float32)
    for index, name in enumerate(columns.flagged):
        missing[:, index] = np.isnan(values[name])
    codes = np.zeros((frame.height, len(columns.categories)), np.int64)
    for index, category in enumerate(columns.categories):
        numbers = range(category.offset + 1, category.offset + 1 + len(category.values))
        series = frame[category.column].cast(pl.String).fill_null("")
        codes[:, index] = series.replace_strict(
            list(category.values), list(numbers), default=category.offset, return_dtype=pl.Int64
        ).to_numpy()
    return Encoded(numeric, missing, codes)


def _vocabulary(series: Any) -> dict[str, int]:
    counts = series.cast(pl.String).fill_null("").value_counts(sort=False, name="rows")
    kept = counts.filter(pl.col("rows") >= MIN_COUNT).sort(["rows", series.name], descending=[True, False])
    return dict(kept.head(MAX_VALUES).iter_rows())


def _place(values: Array, period: float) -> Array:
    return values - np.floor(values / period) * period if period else values


def _scaled(values: Array, feature: Feature) -> Array:
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and the network clips it
        scaled = ((_place(values, feature.period) - feature.center) * feature.scale).astype(np.float32)
    return np.where(np.isnan(scaled), np.float32(0), scaled)


def _feature(name: str, column: Array, period: float, bins: int) -> Feature | None:
    values = _place(column[np.isfinite(column)], period)
    if values.size == 0 or values.min() == values.max():
        return None
    center = float(np.quantile(values, 0.5, method="nearest"))
    low, high = np.quantile(values, [0.25, 0.75])
    scale = 1.0 / float(high - low or values.std())
    edges = _edges(((values - center) * scale).astype(np.float32), bins)
    return Feature(name, period, center, scale, edges) if edges.size > 1 else None


def _edges(values: Array, bins: int) -> Array:
    """At most `bins` + 1 of the values, evenly by rank, so that each bin holds about as many rows.

    A value counts for at most one bin's rows: where most rows share one value (no
    capital gain), the others still get bins.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size <= bins + 1:
        return distinct
    weights = np.minimum(counts, max(1, values.size // bins)).cumsum()
    ranks = np.linspace(weights[0], weights[-1], bins + 1)
    return distinct[np.unique(np.searchsorted(weights, ranks))]
