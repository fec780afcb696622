"""Columns fitted to training rows: how raw values become a network's numbers.

Numeric values are centred and scaled in double precision and then become float32. The
network embeds them piecewise linearly between `edges`. Strings become indices into one
table. `export` writes the same few operations into the ONNX graph.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_pipeline.columns.arrays import to_array
from ml_pipeline.columns.polars_types import type_of
from ml_pipeline.columns.types import NOT_FEATURES
from ml_pipeline.common.outcome import StageFailure

DAY = 86_400.0
# A datetime is embedded as itself and by its place in the day, the week and the year (seconds).
PERIODS = (0.0, DAY, 7 * DAY, 365.2425 * DAY)
RAW_LIMIT, SCALED_LIMIT = (
    1e300,
    1e30,
)  # values beyond these limits are clipped, so that infinities are harmless
MIN_COUNT = 3  # a string value in fewer rows is treated as an unseen value
MAX_VALUES = 5_000  # the most frequent values of a string column that get their own embedding

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Feature:
    """One numeric feature: `(value - center) * scale`, embedded between `edges`.

    With `period` > 0, `value` is the remainder: the place in a day, a week or a year.
    """

    column: str
    period: float
    center: float
    scale: float
    edges: Float32  # [B + 1], ascending, scaled


@dataclass(frozen=True)
class Category:
    """A string column: `values[i]` has index `offset + 1 + i`, anything else `offset`."""

    column: str
    offset: int
    values: tuple[str, ...]  # "" stands for a missing value


@dataclass(frozen=True)
class Encoded:
    """N rows as the network's inputs, in the order of `Columns`."""

    numeric: Float32  # [N, F]; a missing value is 0, the median
    missing: Float32  # [N, M]; 1 where the value is missing
    codes: Int64  # [N, K], indices into one table


@dataclass(frozen=True)
class Affine:
    """The features' arithmetic as vectors over [N, F], shared by `encode` and the graph."""

    source: Int64  # [F], the place of each feature's column in `Columns.numbers`
    period: Float64  # [F], 0 for none
    frequency: Float64  # [F], 1 / period, 0 for none
    center: Float64  # [F]
    scale: Float64  # [F]


@dataclass(frozen=True)
class Columns:
    """The network's inputs, fitted to training rows."""

    # Every column: integer, number, boolean, datetime or string. Unused columns stay inputs of the
    # model, so that retraining does not change which columns a request may have.
    types: dict[str, str]
    features: tuple[Feature, ...]
    flagged: tuple[str, ...]  # columns with a missing-value indicator
    categories: tuple[Category, ...]
    unused: tuple[str, ...]  # columns with one value only, or with rare values only

    @property
    def numbers(self) -> tuple[str, ...]:
        return tuple(name for name, of in self.types.items() if of != "string")

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


def column_type(name: str, dtype: pl.DataType) -> str:
    """Return the type of a column that a model can take. Raises StageFailure for other types."""
    of = type_of(dtype)
    if of in NOT_FEATURES:
        raise StageFailure(
            f"column {name!r} has type {dtype}, which the trainer can't use",
            "convert it to a number, string, boolean or datetime, or add it to data.exclude",
        )
    return of


def raw(series: pl.Series) -> npt.NDArray[np.generic]:
    """Return a column [N] as the model's input: float64 with NaN, or objects with ""."""
    return to_array(series, column_type(series.name, series.dtype))


def fit(frame: pl.DataFrame, bins: int) -> Columns:
    """Fit to all columns of `frame`, which has no target, with at most `bins` per numeric feature.

    Raises StageFailure.
    """
    rows = frame.select(name for name, dtype in frame.schema.items() if dtype != pl.Null)
    types = {series.name: column_type(series.name, series.dtype) for series in rows}
    features: list[Feature] = []
    flagged: list[str] = []
    categories: list[Category] = []
    for series in rows:
        name, of = series.name, types[series.name]
        if of == "string":
            values = _vocabulary(series)
            offset = sum(len(category.values) + 1 for category in categories)
            if len(values) > 1 or 0 < sum(values.values()) < rows.height:
                categories.append(Category(name, offset, tuple(sorted(values))))
            continue
        column = raw(series).astype(np.float64, copy=False)
        periods = PERIODS if of == "datetime" else PERIODS[:1]
        fitted = [_feature(name, column, period, bins) for period in periods]
        features += [feature for feature in fitted if feature]
        if 0 < np.isnan(column).sum() < column.size:
            flagged.append(name)
    used = {feature.column for feature in features} | {*flagged} | {each.column for each in categories}
    unused = tuple(name for name in frame.columns if name not in used)
    if not used:
        raise StageFailure(
            "there is nothing to learn from: every column has one value only, or rare values only",
            "check data.path, data.target and data.exclude",
        )
    return Columns(types, tuple(features), tuple(flagged), tuple(categories), unused)


def encode(columns: Columns, frame: pl.DataFrame) -> Encoded:
    """Return rows of the fitted columns as arrays; `frame` may have other columns too."""
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


def _vocabulary(series: pl.Series) -> dict[str, int]:
    counts = series.cast(pl.String).fill_null("").alias("value").value_counts(name="rows")
    kept = counts.filter(pl.col("rows") >= MIN_COUNT).sort(["rows", "value"], descending=[True, False])
    return dict(kept.head(MAX_VALUES).iter_rows())


def _feature(name: str, column: Float64, period: float, bins: int) -> Feature | None:
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


def _edges(values: Float32, bins: int) -> Float32:
    """Return at most `bins` + 1 of the values, evenly by rank, so that each bin has about as many rows.

    One value counts as at most one bin's rows. So if most rows share one value (no capital gain,
    for example), the other values still get bins.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size <= bins + 1:
        return distinct
    ranks = np.minimum(counts, max(1, values.size // bins)).cumsum()
    chosen = np.searchsorted(ranks, np.linspace(ranks[0], ranks[-1], bins + 1))
    return distinct[np.unique(chosen)]
