"""The target column: classes or a scaled value, and which rows early stopping watches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training.tabular.columns import Float32, Int64, column_type

MIN_ROWS = 10
Class = str | int | float | bool


@dataclass(frozen=True)
class Target:
    """The target of N rows as the network learns it."""

    values: Int64 | Float32  # [N]: indices into `classes`, or (value - mean) / deviation
    classes: Sequence[Class] | None  # sorted, all of one type; None for a regression
    mean: float
    deviation: float


def read(series: pl.Series, task: str) -> Target:
    """Return the checked and converted target column. Raises StageFailure."""
    name = series.name
    if series.len() < MIN_ROWS:
        raise StageFailure(
            f"there are only {series.len()} training rows", f"the built-in trainer needs {MIN_ROWS} or more"
        )
    if count := series.null_count():
        raise StageFailure(f"the target {name!r} is missing in {count} training rows", "remove these rows")
    target_type = column_type(name, series.dtype)
    if task == "regression":
        return _regression(series, target_type)
    if target_type == "number" and (series == series.floor()).all():
        series, target_type = series.cast(pl.Int64), "integer"  # whole numbers, as CSV readers give them
    if target_type not in {"string", "integer", "number", "boolean"}:
        raise StageFailure(
            f"the target {name!r} has type {target_type}, which can't be a class",
            'use strings, numbers or booleans, or set task = "regression"',
        )
    if target_type == "string":
        series = series.cast(pl.String)
    classes = series.unique().sort().to_list()
    if len(classes) < 2:
        raise StageFailure(f"the target {name!r} has only one class, {classes[0]!r}", "check data.target")
    if len(classes) > max(100, series.len() // 10):
        raise StageFailure(
            f"the target {name!r} has {len(classes)} classes in {series.len()} rows",
            'check data.target, or set task = "regression"',
        )
    codes = series.replace_strict(classes, list(range(len(classes))), return_dtype=pl.Int64)
    return Target(codes.to_numpy(), classes, 0.0, 1.0)


def _regression(series: pl.Series, target_type: str) -> Target:
    if target_type not in {"integer", "number"}:
        raise StageFailure(
            f"the target {series.name!r} has type {target_type}, which is not numeric",
            'use numbers, or set task = "classification"',
        )
    values = series.cast(pl.Float64).to_numpy()
    if not np.isfinite(values).all():
        raise StageFailure(f"the target {series.name!r} is infinite or NaN in some rows", "remove these rows")
    mean, deviation = float(values.mean()), float(values.std())
    if not deviation > 1e-12 * abs(mean):
        raise StageFailure(f"the target {series.name!r} has only one value, {mean:g}", "check data.target")
    return Target(((values - mean) / deviation).astype(np.float32), None, mean, deviation)


def balanced(codes: Int64, classes: int) -> Float32:
    """Return weights [C] that give each class the same part in the loss: N / (C * the class's rows).

    The same as scikit-learn's class_weight="balanced". A class has weight 0 if all its rows are used for
    validation.
    """
    counts = np.bincount(codes, minlength=classes)
    weights = np.divide(codes.size, classes * counts, out=np.zeros(classes), where=counts > 0)
    return weights.astype(np.float32)


def validation_rows(target: Int64 | Float32, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Return a mask [N] of about `share` of the rows, spread evenly over the sorted target.

    So each class, and each part of a regression's range, has its share. A class with only one row stays
    in training.
    """
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(target.size)
    order = shuffled[np.argsort(target[shuffled], kind="stable")]
    marks = np.floor(np.arange(target.size + 1) * share + generator.random())
    mask = np.zeros(target.size, bool)
    mask[order[np.diff(marks) > 0]] = True
    if np.issubdtype(target.dtype, np.integer):
        mask &= np.bincount(target)[target] > 1
    if not mask.any():
        mask[order[target.size // 2]] = True
    return mask
