"""Columns that name or number the rows: a model that gets one learns the rows by heart."""

import re
from collections.abc import Iterator, Sequence

import polars as pl

from ml_pipeline.data.report import ColumnReport
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.tables import Table
from ml_pipeline.data.violations import Violation

FEW_ROWS = 10  # below, numbers may be 1 to n by chance
NEARLY_ALL = 0.9  # distinct values a row of a column that is named as a key
_INDEX = re.compile(r"Unnamed: \d+|__index_level_\d+__|row_?(names?|num(ber)?|id)|index", re.IGNORECASE)
_KEY = re.compile(r"(?:.*[_\s.-])?(?:id|key|uuid|guid|no|nr)|.*[a-z](?:Id|ID|Key)")
_CODE = re.compile(r"(?:.*[_\s.-])?(?:zip|postal|post)(?:[_\s.-]?code)?", re.IGNORECASE)
_EXCLUDE = "add it to exclude under [tool.ml-pipeline.data]"


def key_warnings(
    frame: pl.LazyFrame, columns: Sequence[ColumnReport], settings: Settings, table: Table
) -> Iterator[Violation]:
    """Yield warnings on row numbers, keys and codes among the integers that the model gets."""
    for name in table.left_out:
        message = f"{name} has no name, and is empty or the number of each row: it is left out"
        yield Violation("", "row_number", message)
    rows = frame.select(pl.len()).collect().item()
    used = settings.features({column["name"]: None for column in columns})
    zeros = _leading_zeros(table, [column["name"] for column in columns if column["type"] == "integer"])
    for column in columns:
        name = column["name"]
        if column["type"] != "integer" or name not in used or rows < FEW_ROWS or name == settings.time:
            continue
        distinct = column.get("distinct", 0)
        if distinct == rows and _numbers_rows(frame, column, rows):
            message = f"column {name!r} is the number of each row: {_EXCLUDE}"
            yield Violation(name, "row_number", message, rows, 1.0)
        elif _INDEX.fullmatch(name) or (_KEY.fullmatch(name) and distinct > NEARLY_ALL * rows):
            message = f"column {name!r} looks like a key of the rows: {_EXCLUDE}"
            yield Violation(name, "key_like", message, distinct, distinct / rows)
        elif name in zeros or _CODE.fullmatch(name):
            message = (
                f'column {name!r} looks like a code, and is read as a number: set its type to "string" under '
                f"[tool.ml-pipeline.data.columns], or {_EXCLUDE}"
            )
            yield Violation(name, "code", message, distinct, distinct / rows)


def _numbers_rows(frame: pl.LazyFrame, column: ColumnReport, rows: int) -> bool:
    low, high = column.get("min"), column.get("max")
    if low not in {0, 1} or high != rows - 1 + int(low == 1):
        return False
    value = pl.col(column["name"])
    return bool(frame.select((value.diff() == 1).sum()).collect().item() == rows - 1)


def _leading_zeros(table: Table, names: Sequence[str]) -> set[str]:
    """Return the columns of a CSV whose first values have a zero before other digits."""
    if not table.text or not names:
        return set()
    sample = table.frame.select(names).head(1_000).collect()
    return {series.name for series in sample if series.str.contains(r"^\s*0\d").any()}
