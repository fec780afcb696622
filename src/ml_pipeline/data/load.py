"""Bring the project's table in: opened, each column in the type that its schema says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from ml_pipeline.data.schema import Violation, conform
from ml_pipeline.data.split import SET_HOLDOUT
from ml_pipeline.data.tables import SET_PATH, Table, in_parquet, open_table
from ml_pipeline.data.target import require_columns

SET_REFERENCE = "set reference under [tool.ml-pipeline.data] to a table with the columns of path"
HINTS = {"path": SET_PATH, "holdout": SET_HOLDOUT, "reference": SET_REFERENCE}


def load(settings: Mapping[str, Any], folder: Path, key: str) -> tuple[Table, pl.LazyFrame, list[Violation]]:
    """Open the table that `settings[key]` names (path, holdout or reference), and conform it."""
    columns = dict(settings.get("columns") or {})
    time = settings.get("time")
    as_text = {name for name, spec in columns.items() if spec.get("type")} | ({time} if time else set())
    table = open_table(folder, settings[key], as_text, HINTS[key])
    if key != "reference":
        require_columns(dict(settings), table.names)
    if table.text and time in table.names and not columns.get(time, {}).get("type"):
        columns[time] = {**columns.get(time, {}), "type": _time_type(table, time)}
    frame, violations = conform(table, columns)
    return table, in_parquet(frame) if table.text else frame, violations


def _time_type(table: Table, time: str) -> str:
    """What orders a CSV's rows: numbers where all are, else times."""
    numbers = pl.col(time).cast(pl.Float64, strict=False)
    whole = table.frame.select((numbers.is_null() & pl.col(time).is_not_null()).sum()).collect().item() == 0
    return "number" if whole else "datetime"
