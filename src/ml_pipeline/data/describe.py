"""What a table holds, column by column: the report's first part, and a schema ready to paste."""

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl

from ml_pipeline.data.target import classes
from ml_pipeline.distributions import sorting
from ml_pipeline.distributions.cores import columns_at_once

CLASSES_SHOWN = 100
QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}
ALLOWED = 20  # categories up to which a schema lists them


def columns(frame: pl.LazyFrame, kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Describe each column: kind, missing and distinct values, range and quartiles or most frequent value."""
    rows = frame.select(pl.len()).collect().item()
    with ThreadPoolExecutor(columns_at_once(rows)) as pool:
        return list(pool.map(lambda name: _column(frame, name, kinds[name], rows), kinds))


def _column(frame: pl.LazyFrame, name: str, kind: str, rows: int) -> dict[str, Any]:
    column = frame.select(name).collect().to_series()
    missing = column.null_count()
    found: dict[str, Any] = {"name": name, "type": kind, "missing_share": missing / rows, "missing": missing}
    column = column.drop_nulls() if missing else column
    if kind in {"string", "boolean"}:
        counts = column.value_counts().sort(["count", name], descending=[True, False])
        return found | {"distinct": counts.height, "top": counts[name][0] if counts.height else None}
    if kind == "empty":
        return found | {"distinct": 0}
    if kind not in {"integer", "number", "datetime"}:
        return found
    found |= {"min": column.min(), "max": column.max(), "mean": column.mean()}
    values = sorting.ascending(column)
    found["distinct"] = int((values[1:] != values[:-1]).sum()) + bool(len(values))
    if kind == "datetime":
        del found["mean"]
        return found
    return found | {key: _quantile(values, share) for key, share in QUARTILES.items()}


def _quantile(values: Any, share: float) -> float | None:
    """Interpolate between two of the sorted values, as numpy.quantile does."""
    if not len(values):
        return None
    at = share * (len(values) - 1)
    low = int(at)
    first, second = float(values[low]), float(values[min(low + 1, len(values) - 1)])
    return first if at == low else first + (second - first) * (at - low)


def target(frame: pl.LazyFrame, settings: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Describe the target: of classes, how many rows each has."""
    name = settings["target"]
    balance = {"name": name, "type": kinds[name], "task": settings["task"]}
    if settings["task"] == "classification" and kinds[name] not in {"other", "datetime"}:
        counts = classes(frame, name)
        most = dict(sorted(counts.items(), key=lambda item: -item[1])[:CLASSES_SHOWN])
        balance |= {"classes": {str(label): rows for label, rows in most.items()}, "distinct": len(counts)}
    return balance


def schema(report: Mapping[str, Any], frame: pl.LazyFrame) -> str:
    """Return the columns' tables of pyproject.toml, as strict as the data is now.

    Ranges are the data's own: widen them where more is right.
    """
    parts = []
    for column in report["columns"]:
        if column["type"] in {"other", "empty"}:
            continue
        lines = [f"[tool.ml-pipeline.data.columns.{_key(column['name'])}]", f'type = "{column["type"]}"']
        if column["type"] in {"integer", "number"} and column["min"] is not None:
            lines += [f"min = {_number(column['min'])}", f"max = {_number(column['max'])}"]
        if column["type"] == "datetime" and column["min"] is not None:
            lines += [f'{end} = "{column[end].isoformat()}"' for end in ("min", "max")]
        if (
            column["type"] == "string"
            and column["distinct"] <= ALLOWED
            and column["distinct"] < report["rows"] / 2
        ):
            values = frame.select(pl.col(column["name"]).drop_nulls().unique().sort()).collect().to_series()
            lines.append(f"allowed = {json.dumps(values.to_list(), ensure_ascii=False)}")
        if not column["missing"]:
            lines.append("nullable = false")
        else:
            lines.append(f"max_missing = {min(1.0, round(column['missing_share'] * 1.5 + 0.005, 2))}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))


def show(report: Mapping[str, Any], findings: Sequence[str], most: int = 20) -> None:
    """Print a report for people: a line a column, then what was found."""
    violations = len(report["violations"])
    print(f"{report['rows']} rows, {len(report['columns'])} columns, {violations} violations")
    width = max(len(column["name"]) for column in report["columns"])
    for column in report["columns"]:
        missing = f"{column['missing_share']:.1%} missing" if column["missing"] else ""
        distinct = f"{column['distinct']} distinct" if "distinct" in column else ""
        print(f"  {column['name']:{width}}  {column['type']:8}  {distinct:>18}  {missing}".rstrip())
    for finding in findings[:most]:
        print(f"- {finding}")
    if len(findings) > most:
        print(f"- and {len(findings) - most} more, in report.json")
