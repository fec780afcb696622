"""Texts of a CSV that may have been meant as something else: each warning says what to set."""

import json
import re
from collections.abc import Iterator, Sequence

import polars as pl

from ml_pipeline.columns import text
from ml_pipeline.data.report import ColumnReport
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.tables import Table
from ml_pipeline.data.violations import Violation

MOSTLY = 0.5  # numbers among texts: below, the texts are the rule, as with titles of films
SHOWN = 3  # values that a warning names
_SAMPLE = 1_000
_MARKERS = ("NA", "N/A", "#N/A", "n/a", "na", "NaN", "nan", "null", "NULL", "Null", "None", "\\N", "?")
_DATE = re.compile(r"(\d{1,4})([/.-])(\d{1,2}|[A-Za-z]{3})\2(\d{1,4})(?:[ T].*)?", re.ASCII)
# The first that reads every value: with months first where a day beyond 12 does not forbid that.
_FORMATS = tuple(
    f"{date}{time}"
    for date in ("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%Y", "%d.%m.%y",
                 "%m-%d-%Y", "%d-%m-%Y", "%Y/%m/%d", "%d-%b-%Y", "%d-%b-%y")
    for time in ("", " %H:%M", " %H:%M:%S", " %I:%M %p")
)  # fmt: skip


def text_warnings(
    frame: pl.LazyFrame, columns: Sequence[ColumnReport], settings: Settings, table: Table
) -> Iterator[Violation]:
    """Yield warnings on the columns of a CSV that stay text, unless the schema says that they are text."""
    chosen = [
        column for column in columns
        if column["type"] == "string" and column["distinct"] and column["name"] not in settings.exclude
        and not ((rules := settings.columns.get(column["name"])) and rules.type)
    ]  # fmt: skip
    if not chosen:
        return
    names = [column["name"] for column in chosen]
    numbers = frame.select(pl.col(names).cast(pl.Float64, strict=False).count()).collect().row(0)
    marked = frame.select(pl.col(names).is_in(list(_MARKERS)).sum()).collect().row(0)
    sample = frame.select(names).head(_SAMPLE).collect()
    rows = frame.select(pl.len()).collect().item()
    for column, count, markers in zip(chosen, numbers, marked, strict=True):
        name, values = column["name"], rows - column["missing"]
        if count > MOSTLY * values:
            yield _mixed(frame, name, count, values)
        elif meant := _meant(sample[name], name, table.separator):
            yield Violation(name, "mixed_types", meant, values, 1.0)
        elif markers:
            yield _marked(frame, name, markers, values)


def _mixed(frame: pl.LazyFrame, name: str, count: int, values: int) -> Violation:
    column = pl.col(name)
    odd = column.is_not_null() & column.cast(pl.Float64, strict=False).is_null()
    shown, common = _commonest(frame.filter(odd), name)
    message = (
        f"column {name!r} is text, but {count:,} of its {values:,} values are numbers; others: {shown}. "
        f"If these mean missing, set {common} under [tool.ml-pipeline.data]"
    )
    return Violation(name, "mixed_types", message, count, count / values)


def _marked(frame: pl.LazyFrame, name: str, count: int, values: int) -> Violation:
    shown, common = _commonest(frame.filter(pl.col(name).is_in(list(_MARKERS))), name)
    message = (
        f"column {name!r} has the text {shown}, which is a category of its own. "
        f"If it means missing, set {common} under [tool.ml-pipeline.data]"
    )
    return Violation(name, "missing_marker", message, count, count / values)


def _commonest(frame: pl.LazyFrame, name: str) -> tuple[str, str]:
    """Return the most frequent values with their numbers of rows, and the setting that makes them missing."""
    counts = frame.select(pl.col(name).alias("value")).group_by("value").len("rows")
    most = counts.sort(["rows", "value"], descending=[True, False]).head(SHOWN + 1).collect().rows()
    shown = ", ".join(f"{value[:40]!r} ({rows:,})" for value, rows in most[:SHOWN])
    more = ", …" if len(most) > SHOWN else ""
    listed = json.dumps([value[:40].strip() for value, _ in most[:SHOWN]], ensure_ascii=False)
    return shown + more, f"missing = {listed}"


def _meant(sample: pl.Series, name: str, separator: str) -> str | None:
    """Return what a sample may be, where all of it are numbers or times in a way that is not certain."""
    values = [value.strip() for value in sample.drop_nulls().unique() if not text.is_missing(value)]
    if not values:
        return None
    section = f"under [tool.ml-pipeline.data.columns.{json.dumps(name, ensure_ascii=False)}]"
    if all(text.number(value) is not None or text.number(value, ",") is not None for value in values):
        odd = max(values, key=lambda value: (text.plain(value) is None, value))
        comma = separator == ";" and "," in odd
        key = 'decimal = "," or "." under [tool.ml-pipeline.data]' if comma else f'type = "number" {section}'
        return f"column {name!r} is text, but values such as {odd!r} may be numbers: set {key}"
    if all(_DATE.fullmatch(value) for value in values):
        for form in _FORMATS:
            if all(text.time(value, form) for value in values):
                return (
                    f"column {name!r} is text, but values such as {values[0]!r} may be times: "
                    f'set type = "datetime" and format = "{form}" {section}'
                )
    return None
