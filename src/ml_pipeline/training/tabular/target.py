"""The target column: classes or a scaled value, and which rows early stopping watches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training.tabular.columns import column_type

MIN_ROWS = 10
Array = Any


@dataclass(frozen=True)
class Target:
    """N rows' target as the network learns it."""

    values: Array  # int64 [N], indices into `classes`; or float32 [N], (value - mean) / deviation
    classes: list[Any] | None  # sorted; strings, ints or bools; None for a regression
    mean: float
    deviation: float


def read(series: Any, task: str) -> Target:
    """Check and convert the target column; what can't be learned is a StageFailure."""
    name = series.name
    if series.len() < MIN_ROWS:
        raise StageFailure(f"{series.len()} training rows", f"the built-in trainer needs {MIN_ROWS} or more")
    if count := series.null_count():
        raise StageFailure(f"the target {name!r} is missing in {count} training rows", "drop those rows")
    kind = column_type(name, series.dtype)
    if task == "regression":
        return _regression(series, kind)
    if kind == "number" and (series == series.floor()).all():
        series, kind = series.cast(pl.Int64), "integer"  # whole numbers, as CSV readers give them
    if kind not in {"string", "integer", "boolean"}:
        raise StageFailure(
            f"the target {name!r} is of type {kind}",
            'classes are strings, integers or booleans; or task = "regression"',
        )
    if kind == "string":
        series = series.cast(pl.String)
    classes = series.unique().sort().to_list()
    if len(classes) < 2:
        raise StageFailure(f"the target {name!r} has one class only, {classes[0]!r}", "check data.target")
    if len(classes) > max(100, series.len() // 10):
        raise StageFailure(
            f"the target {name!r} has {len(classes)} classes in {series.len()} rows",
            'check data.target, or task = "regression"',
        )
    codes = series.replace_strict(classes, list(range(len(classes))), return_dtype=pl.Int64)
    return Target(codes.to_numpy(), classes, 0.0, 1.0)


def _regression(series: Any, kind: str) -> Target:
    if kind not in {"integer", "number"}:
        raise StageFailure(
            f"the target {series.name!r} is of type {kind}",
            'a regression needs numbers; or task = "classification"',
        )
    values = series.cast(pl.Float64).to_numpy()
    if not np.isfinite(values).all():
        raise StageFailure(f"the target {series.name!r} is infinite or NaN in some rows", "drop those rows")
    mean, deviation = float(values.mean()), float(values.std())
    if not deviation > 1e-12 * abs(mean):
        raise StageFailure(f"the target {series.name!r} has one value only, {mean:g}", "check data.target")
    return Target(((values - mean) / deviation).astype(np.float32), None, mean, deviation)


def balanced(codes: Array, classes: int) -> Array:
    """Weights float32 [C] that give each class the same part in the loss: N / (C * its rows).

    As scikit-learn's class_weight="balanced"; a class without rows, all of them kept for validation,
    has 0.
    """
    counts = np.bincount(codes, minlength=classes)
    weights = np.divide(codes.size, classes * counts, out=np.zeros(classes), where=counts > 0)
    return weights.astype(np.float32)


def validation_rows(target: Array, share: float, seed: int) -> Array:
    """A bool mask [N] of about `share` of the rows, spread evenly over the sorted target.

    So each class, and each part of a regression's range, has its share. A value of a
    class that occurs once stays in training.
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
