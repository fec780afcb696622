"""What a table holds, column by column: the report's first part, and a schema ready to paste."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ml_pipeline.stages.dataset.target import classes

CLASSES_SHOWN = 100
ALLOWED = 20  # categories up to which a schema lists them


def columns(frame: pl.LazyFrame, kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """Describe each column: kind, missing and distinct values, range or most frequent value, outliers."""
    rows = frame.select(pl.len()).collect().item()
    described = []
    for name, kind in kinds.items():
        column = pl.col(name)
        wanted = {"missing": column.null_count()}
        if kind != "other":
            wanted["distinct"] = column.drop_nulls().n_unique()
        if kind in {"integer", "number", "datetime"}:
            wanted |= {"min": column.min(), "max": column.max()}
        if kind in {"integer", "number"}:
            quartiles = {f"q{share}": column.quantile(share / 100, "linear") for share in (25, 75)}
            wanted |= {"mean": column.mean(), "median": column.median(), **quartiles}
        if kind in {"string", "boolean"}:
            wanted["top"] = column.drop_nulls().mode(maintain_order=True).first()
        figures = frame.select(value.alias(key) for key, value in wanted.items()).collect().row(0, named=True)
        described.append({"name": name, "type": kind, "missing_share": figures["missing"] / rows, **figures})
    return described


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
