"""What training rows and a model's files say of themselves: columns, classes, example, version."""

import hashlib
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import polars as pl

from ml_pipeline.columns.kinds import UNTAKEN, kind_of
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model.signature import Column

COMMON = 5  # rows that must share a string before the example shows it: it may name a person
# Figures and weights beside the model are not the model; the serving image does not have them either.
NOT_SERVED = ("model.json", "metrics.json", "history.csv", "*.png", "weights.safetensors")


def read_rows(data: Path, target: str) -> Any:
    """The training rows. Raises `StageFailure`."""
    try:
        rows = pl.read_parquet(data)
    except (OSError, pl.exceptions.PolarsError) as error:
        cause = f"{data} can't be read as Parquet: {one_line(error)}"
        raise StageFailure(cause, "split the data anew") from None
    if target not in rows.columns:
        hint = nearest(target, rows.columns)
        raise StageFailure(f"the training rows have no column {target!r}", f"check data.target: {hint}")
    if not rows.height:
        raise StageFailure(f"{data} has no rows", "check data.path")
    return rows


def columns(rows: Any, target: str) -> list[Column]:
    """The features as a signature has them; nullable where a value is missing in the rows."""
    kinds = {name: kind_of(dtype) for name, dtype in rows.schema.items() if name != target}
    return [
        Column(name, kind, rows[name].null_count() > 0) for name, kind in kinds.items() if kind not in UNTAKEN
    ]


def classes(target: Any, task: str) -> list[Any] | None:
    """The target's values in ascending order; None for a regression."""
    if task == "regression":
        return None
    if target.dtype.is_float() and (target.drop_nulls() == target.drop_nulls().floor()).all():
        target = target.cast(pl.Int64)  # whole numbers, as CSV readers give them
    if isinstance(target.dtype, pl.Categorical | pl.Enum):
        target = target.cast(pl.String)
    values: list[Any] = target.drop_nulls().unique().sort().to_list()
    return values


def example(rows: Any, wanted: Sequence[Column]) -> dict[str, Any]:
    """A row that is nobody's: medians, and the most frequent values where enough rows share them."""
    values: dict[str, Any] = {}
    for column in wanted:
        series = rows[column.name].drop_nulls()
        value: Any = None
        if series.len() and column.type in {"string", "boolean"}:
            counts = series.value_counts(name="rows").sort(["rows", column.name], descending=[True, False])
            value, shared = counts.row(0)
            if column.type == "string" and shared < COMMON:
                value = None if column.nullable else "unknown"
        elif series.len() and column.type == "datetime":
            value = series.cast(pl.Datetime("us")).median().isoformat(timespec="seconds") + "Z"
        elif series.len():
            middle = series.quantile(0.5, "nearest")
            value = int(middle) if column.type == "integer" else float(middle)
        values[column.name] = value
    return values


def served(folder: Path) -> list[Path]:
    """The files that the image needs, sorted: figures and curves describe a training run, not the model."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [path for path in files if not any(fnmatch(path.name, pattern) for pattern in NOT_SERVED)]


def version(folder: Path) -> str:
    """The first 12 hex digits of the sha256 over names and bytes of what is served from `folder`.

    Where nothing is, over the metrics.
    """
    total = hashlib.sha256()
    for path in served(folder) or [folder / "metrics.json"]:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{digest}\n".encode())
    return total.hexdigest()[:12]
