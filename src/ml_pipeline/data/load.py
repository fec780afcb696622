"""Open a table that the project names, each column in the type that its schema says."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import polars as pl

from ml_pipeline.columns.types import ColumnType
from ml_pipeline.data.conform import conform
from ml_pipeline.data.holdout import SET_HOLDOUT
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.tables import SET_PATH, Table, in_parquet, open_table
from ml_pipeline.data.target import require_columns
from ml_pipeline.data.violations import Violation
from ml_pipeline.project.data_rules import Column

SET_REFERENCE = "set reference under [tool.ml-pipeline.data] to a table with the columns of path"
HINTS = {"path": SET_PATH, "holdout": SET_HOLDOUT, "reference": SET_REFERENCE}


def load(
    settings: Settings, folder: Path, key: Literal["path", "holdout", "reference"]
) -> tuple[Table, pl.LazyFrame, list[Violation]]:
    """Open the table that a key of the settings names, and conform it. Raises StageFailure."""
    columns, time = dict(settings.columns), settings.time
    as_text = {name for name, rules in columns.items() if rules.type} | ({time} if time else set())
    table = open_table(folder, str(getattr(settings, key)), as_text, HINTS[key])
    if key != "reference":
        require_columns(settings, table.names)
    if table.text and time and time in table.names:
        rules = columns.get(time, Column())
        columns[time] = replace(rules, type=rules.type or _time_type(table, time))
    frame, violations = conform(table, columns)
    return table, in_parquet(frame) if table.text else frame, violations


def _time_type(table: Table, time: str) -> ColumnType:
    """Return the type of the column that orders a CSV's rows: numbers where all are, else times."""
    numbers = pl.col(time).cast(pl.Float64, strict=False)
    texts = table.frame.select((numbers.is_null() & pl.col(time).is_not_null()).sum()).collect().item()
    return "datetime" if texts else "number"
