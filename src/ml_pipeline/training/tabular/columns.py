"""Columns fitted to training rows: how raw values become a network's numbers.

Numeric values are centred and scaled in double precision, then become float32; the
network embeds them piecewise linearly between `edges`. Strings become indices into
one table. The same few operations are written into the ONNX graph by `export`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ml_pipeline.columns.kinds import UNTAKEN, kind_of
from ml_pipeline.common.outcome import StageFailure

DAY = 86_400.0
# A moment is embedded as itself and by its place in the day, the week and the year (seconds).
PERIODS = (0.0, DAY, 7 * DAY, 365.2425 * DAY)
RAW_LIMIT, SCALED_LIMIT = 1e300, 1e30  # beyond them values are clipped, so infinities stay harmless
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
class Affine:
    """The features' arithmetic as vectors over [N, F], shared by `encode` and the graph."""

    source: Array  # int64 [F], the place of each feature's column in `Columns.numbers`
    period: Array  # float64 [F], 0 for none
    frequency: Array  # float64 [F], 1 / period, 0 for none
    center: Array  # float64 [F]
    scale: Array  # float64 [F]


@dataclass(frozen=True)
class Columns:
    """What the network is given, fitted to training rows."""

    # Every column: integer, number, boolean, datetime or string. Those that carry nothing stay inputs
    # of the model, so that retraining does not change what requests may hold.
    types: dict[str, str]
    features: tuple[Feature, ...]
    flagged: tuple[str, ...]  # columns with a missing-value indicator
    categories: tuple[Category, ...]
    unused: tuple[str, ...]  # columns that carry nothing: one value only, or all rare

    @property
    def numbers(self) -> tuple[str, ...]:
        return tuple(name for name, kind in self.types.items() if kind != "string")

    @property
    def table_size(self) -> int:
        return sum(len(category.values) + 1 for category in self.categories)

    def affine(self) -> Affine:
        period = np.array([feature.period for feature in self.features])
        return Affine(
            np.array([self.numbers.index(feature.column) for feature in self.features], np.int64),
            period,
            np.divide(1.0, period, out=np.zeros_like(period), where=period > 0),
            np.array([feature.center for feature in self.features]),
            np.array([feature.scale for feature in self.features]),
        )


def column_type(name: str, dtype: Any) -> str:
    """The schema's name for a Parquet column's type; StageFailure for one that has none."""
    kind = kind_of(dtype)
    if kind not in UNTAKEN:
        return kind
    raise StageFailure(
        f"column {name!r} is of type {dtype}, which the trainer can't use",
        "convert it to a number, string, boolean or datetime, or name it in data.exclude",
    )


def raw(series: Any) -> Array:
    """A column [N] as the model's input takes it: float64 with NaN, or objects with ""."""
    kind = column_type(series.name, series.dtype)
    if kind == "string":
        return series.cast(pl.String).fill_null("").to_numpy().astype(object)
    if kind == "datetime":
        series = series.cast(pl.Datetime("us")).dt.timestamp("us").cast(pl.Float64) / 1e6
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def fit(frame: Any, bins: int) -> Columns:
    """Fit to all columns of `frame`, which has no target; at most `bins` per numeric feature."""
    rows = frame.select(name for name, dtype in frame.schema.items() if dtype != pl.Null)
    types = {series.name: column_type(series.name, series.dtype) for series in rows}
    features: list[Feature] = []
    flagged: list[str] = []
    categories: list[Category] = []
    for series in rows:
        name, kind = series.name, types[series.name]
        if kind == "string":
            values = _vocabulary(series)
            offset = sum(len(category.values) + 1 for category in categories)
            if len(values) > 1 or 0 < sum(values.values()) < rows.height:
                categories.append(Category(name, offset, tuple(sorted(values))))
            continue
        column = raw(series)
        periods = PERIODS if kind == "datetime" else PERIODS[:1]
        fitted = [_feature(name, column, period, bins) for period in periods]
        features += [feature for feature in fitted if feature]
        if 0 < np.isnan(column).sum() < column.size:
            flagged.append(name)
    used = {feature.column for feature in features} | {*flagged} | {each.column for each in categories}
    unused = tuple(name for name in frame.columns if name not in used)
    if not used:
        raise StageFailure(
            "no column carries anything to learn from: each has one value only, or no value often enough",
            "check data.path, data.target and data.exclude",
        )
    return Columns(types, tuple(features), tuple(flagged), tuple(categories), unused)


def encode(columns: Columns, frame: Any) -> Encoded:
    """Rows of the fitted columns as arrays; `frame` may have other columns too."""
    values = np.empty((frame.height, len(columns.numbers)))
    for index, name in enumerate(columns.numbers):
        values[:, index] = raw(frame[name])
    missing = np.isnan(values)[:, [columns.numbers.index(name) for name in columns.flagged]]
    affine = columns.affine()
    chosen = np.clip(values, -RAW_LIMIT, RAW_LIMIT)[:, affine.source]
    places = chosen - np.floor(chosen * affine.frequency) * affine.period
    with np.errstate(over="ignore"):
        scaled = (places - affine.center) * affine.scale
    scaled = np.clip(np.where(np.isnan(scaled), 0.0, scaled), -SCALED_LIMIT, SCALED_LIMIT)
    codes = np.zeros((frame.height, len(columns.categories)), np.int64)
    for index, category in enumerate(columns.categories):
        codes[:, index] = (
            frame[category.column]
            .cast(pl.String)
            .fill_null("")
            .replace_strict(
                list(category.values),
                [category.offset + 1 + place for place in range(len(category.values))],
                default=category.offset,
                return_dtype=pl.Int64,
            )
            .to_numpy()
        )
    return Encoded(scaled.astype(np.float32), missing.astype(np.float32), codes)


def _vocabulary(series: Any) -> dict[str, int]:
    counts = series.cast(pl.String).fill_null("").value_counts(name="rows")
    kept = counts.filter(pl.col("rows") >= MIN_COUNT).sort(["rows", series.name], descending=[True, False])
    return dict(kept.head(MAX_VALUES).iter_rows())


def _feature(name: str, column: Array, period: float, bins: int) -> Feature | None:
    values = np.clip(column[np.isfinite(column)], -RAW_LIMIT, RAW_LIMIT)
    if period:
        values = values - np.floor(values * (1.0 / period)) * period
    if values.size == 0 or values.min() == values.max():
        return None
    center = float(np.quantile(values, 0.5, method="nearest"))
    low, high = np.quantile(values, [0.25, 0.75], method="nearest")
    scale = 1.0 / float(high - low or np.abs(values - center).max())
    scaled = np.clip((values - center) * scale, -SCALED_LIMIT, SCALED_LIMIT).astype(np.float32)
    edges = _edges(scaled, bins)
    return Feature(name, period, center, scale, edges) if edges.size > 1 else None


def _edges(values: Array, bins: int) -> Array:
    """At most `bins` + 1 of the values, evenly by rank, so that bins hold about as many rows.

    A value counts for at most one bin's rows: where most rows share one value (no
    capital gain, say), the others still get bins.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size <= bins + 1:
        return distinct
    ranks = np.minimum(counts, max(1, values.size // bins)).cumsum()
    chosen = np.searchsorted(ranks, np.linspace(ranks[0], ranks[-1], bins + 1))
    return distinct[np.unique(chosen)]
