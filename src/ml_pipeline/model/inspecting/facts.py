"""What a signature takes from the training rows and the model's files: columns, classes, example, version."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path

import polars as pl

from ml_pipeline.columns.polars_types import types_of
from ml_pipeline.columns.types import CATEGORICAL, NOT_FEATURES
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model.signature import Column, Label

COMMON = 5  # rows that share a string before the example shows it: a rare one may name a person
# Metrics and weights beside the model are not part of it, and not in the serving image.
NOT_SERVED = ("model.json", "metrics.json", "history.csv", "*.png", "weights.safetensors")


def read_rows(data: Path, target: str) -> pl.DataFrame:
    """Read the training rows. Raises `StageFailure`."""
    try:
        rows = pl.read_parquet(data)
    except (OSError, pl.exceptions.PolarsError) as error:
        cause = f"{data} can't be read as Parquet: {one_line(error)}"
        raise StageFailure(cause, "split the data again") from None
    if target not in rows.columns:
        hint = nearest(target, rows.columns)
        raise StageFailure(f"the training rows have no column {target!r}", f"check data.target: {hint}")
    if not rows.height:
        raise StageFailure(f"{data} has no rows", "check data.path")
    return rows


def columns(rows: pl.DataFrame, target: str) -> list[Column]:
    """Return the features; nullable where a value is missing in the rows."""
    types = {name: type_ for name, type_ in types_of(rows).items() if name != target}
    return [
        Column(name, type_, rows[name].null_count() > 0)
        for name, type_ in types.items()
        if type_ not in NOT_FEATURES
    ]


def classes(target: pl.Series, task: str) -> list[Label] | None:
    """Return the target's values in ascending order; None for a regression."""
    if task == "regression":
        return None
    if target.dtype.is_float() and (target.drop_nulls() == target.drop_nulls().floor()).all():
        target = target.cast(pl.Int64)  # whole numbers, as CSV readers give them
    if isinstance(target.dtype, pl.Categorical | pl.Enum):
        target = target.cast(pl.String)
    values: list[Label] = target.drop_nulls().unique().sort().to_list()
    return values


def example(rows: pl.DataFrame, columns: Sequence[Column]) -> dict[str, object]:
    """Return a row of medians and of the most frequent values that enough rows share: nobody's own row."""
    return {column.name: _typical(rows[column.name].drop_nulls(), column) for column in columns}


def _typical(values: pl.Series, column: Column) -> object:
    if not values.len():
        return None
    if column.type in CATEGORICAL:
        counts = (
            values.alias("value").value_counts(name="rows").sort(["rows", "value"], descending=[True, False])
        )
        value, shared = counts.row(0)
        if column.type == "string" and shared < COMMON:
            return None if column.nullable else "unknown"
        return value
    if column.type == "datetime":
        middle = values.cast(pl.Datetime("us")).median()
        return f"{middle.isoformat(timespec='seconds')}Z" if isinstance(middle, datetime) else None
    number = values.quantile(0.5, "nearest") or 0
    return int(number) if column.type == "integer" else float(number)


def served(folder: Path) -> list[Path]:
    """Return the files that the image needs, sorted: not metrics and curves, which describe a training."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [path for path in files if not any(fnmatch(path.name, pattern) for pattern in NOT_SERVED)]


def version(folder: Path) -> str:
    """Return the first 12 hex digits of the sha256 over names and bytes of what is served from `folder`.

    If nothing is served, it is over the metrics.
    """
    total = hashlib.sha256()
    for path in served(folder) or [folder / "metrics.json"]:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{digest}\n".encode())
    return total.hexdigest()[:12]
