"""What a table holds, column by column: the report's first part, and a schema ready to paste."""

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import polars as pl

from ml_pipeline.columns.types import CATEGORICAL, NOT_FEATURES, NUMBERS, ORDERED, TableType
from ml_pipeline.data.report import ColumnReport, Report, TargetReport
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.target import NOT_CLASSES, classes
from ml_pipeline.distributions import sorting
from ml_pipeline.distributions.cores import columns_at_once
from ml_pipeline.distributions.effects import Floats, Integers

CLASSES_SHOWN = 100
_VALUE = "value"
ALLOWED = 20  # categories up to which a schema lists them


def columns(frame: pl.LazyFrame, types: Mapping[str, TableType]) -> list[ColumnReport]:
    """Describe each column: type, missing and distinct values, range and quartiles or most frequent value."""
    rows = frame.select(pl.len()).collect().item()
    with ThreadPoolExecutor(columns_at_once(rows)) as pool:
        return list(pool.map(lambda name: _column(frame, name, types[name], rows), types))


def _column(frame: pl.LazyFrame, name: str, column_type: TableType, rows: int) -> ColumnReport:
    column = frame.select(name).collect().to_series()
    missing = column.null_count()
    report: ColumnReport = {
        "name": name, "type": column_type, "missing_share": missing / rows, "missing": missing
    }  # fmt: skip
    column = column.drop_nulls() if missing else column
    if column_type in CATEGORICAL:
        counts = column.alias(_VALUE).value_counts().sort(["count", _VALUE], descending=[True, False])
        report["distinct"] = counts.height
        report["top"] = counts[_VALUE][0] if counts.height else None
    elif column_type == "empty":
        report["distinct"] = 0
    elif column_type in ORDERED:
        _describe_ordered(report, column)
    return report


def _describe_ordered(report: ColumnReport, column: pl.Series) -> None:
    report |= {"min": column.min(), "max": column.max()}  # type: ignore[typeddict-item]  # any Python value
    if report["type"] in NUMBERS:
        report["mean"] = column.mean()  # type: ignore[typeddict-item]  # of numbers, a float
    values = sorting.ascending(column)
    report["distinct"] = int((values[1:] != values[:-1]).sum()) + bool(len(values))
    if report["type"] in NUMBERS:
        quartiles = [_quantile(values, share) for share in (0.25, 0.5, 0.75)]
        report["q25"], report["median"], report["q75"] = quartiles


def _quantile(values: Floats | Integers, share: float) -> float | None:
    """Interpolate between two of the sorted values, as numpy.quantile does; None if there are none."""
    if not len(values):
        return None
    at = share * (len(values) - 1)
    low = int(at)
    first, second = float(values[low]), float(values[min(low + 1, len(values) - 1)])
    return first if at == low else first + (second - first) * (at - low)


def target(frame: pl.LazyFrame, settings: Settings, types: Mapping[str, TableType]) -> TargetReport:
    """Describe the target: of classes, how many rows each has."""
    name = settings.target
    report: TargetReport = {"name": name, "type": types[name], "task": settings.task}
    if settings.task == "classification" and types[name] not in NOT_CLASSES:
        counts = classes(frame, name)
        most = dict(sorted(counts.items(), key=lambda item: -item[1])[:CLASSES_SHOWN])
        report["classes"] = {str(label): rows for label, rows in most.items()}
        report["distinct"] = len(counts)
    return report


def schema(report: Report, frame: pl.LazyFrame) -> str:
    """Return the columns' tables of pyproject.toml, as strict as the data is now.

    Ranges are the data's own: a reader widens them where more is right.
    """
    tables = []
    for column in report["columns"]:
        if column["type"] not in NOT_FEATURES:
            header = f"[tool.ml-pipeline.data.columns.{_key(column['name'])}]"
            tables.append("\n".join([header, *_rules(column, report["rows"], frame)]))
    return "\n\n".join(tables) + "\n"


def _rules(column: ColumnReport, rows: int, frame: pl.LazyFrame) -> list[str]:
    lines = [f'type = "{column["type"]}"']
    if column["type"] in ORDERED and column["min"] is not None:
        lines += [f"min = {_literal(column['min'])}", f"max = {_literal(column['max'])}"]
    if column["type"] == "string" and column["distinct"] <= ALLOWED and column["distinct"] < rows / 2:
        values = frame.select(pl.col(column["name"]).drop_nulls().unique().sort()).collect().to_series()
        lines.append(f"allowed = {json.dumps(values.to_list(), ensure_ascii=False)}")
    if not column["missing"]:
        return [*lines, "nullable = false"]
    return [*lines, f"max_missing = {min(1.0, round(column['missing_share'] * 1.5 + 0.005, 2))}"]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _literal(value: object) -> str:
    if isinstance(value, date):
        return f'"{value.isoformat()}"'
    return str(value) if isinstance(value, int) else repr(value)


def show(report: Report, messages: Sequence[str], most: int = 20) -> None:
    """Print a report for people: a line a column, then the first messages of violations and warnings."""
    violations = len(report["violations"])
    print(f"{report['rows']} rows, {len(report['columns'])} columns, {violations} violations")
    width = max(len(column["name"]) for column in report["columns"])
    for column in report["columns"]:
        missing = f"{column['missing_share']:.1%} missing" if column["missing"] else ""
        distinct = f"{column['distinct']} distinct" if "distinct" in column else ""
        print(f"  {column['name']:{width}}  {column['type']:8}  {distinct:>18}  {missing}".rstrip())
    for message in messages[:most]:
        print(f"- {message}")
    if len(messages) > most:
        print(f"- and {len(messages) - most} more, in report.json")
