"""What is odd in a table though its schema allows it. Oddities are warnings: none stops a run."""

import functools
import operator
from collections.abc import Iterator, Sequence

import polars as pl

from ml_pipeline.columns.types import NUMBERS
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data.keys import key_warnings
from ml_pipeline.data.report import ColumnReport, TargetReport
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.tables import Table
from ml_pipeline.data.texts import text_warnings
from ml_pipeline.data.violations import FIX, Rule, Violation, broken

RARE_CLASS = 0.05  # of the rows, where there are two classes
TOO_DISTINCT = 0.5  # distinct texts a row: a name or a key, which no model learns from
FEW_ROWS = 50  # below, a share says nothing
FENCE = 3.0  # interquartile ranges: Tukey's outer fence, "far out" (Exploratory Data Analysis, 1977)
MANY_OUTLIERS = 0.01


def oddities(
    frame: pl.LazyFrame,
    columns: Sequence[ColumnReport],
    target: TargetReport,
    settings: Settings,
    table: Table,
) -> list[Violation]:
    """Return duplicated rows, constant and keylike columns, far outliers, odd texts and rare classes."""
    rows = frame.select(pl.len()).collect().item()
    warnings = list(_duplicates(frame, rows))
    for column in columns:
        if column["name"] != target["name"]:
            warnings += _column(column, rows)
    warnings += _outliers(frame, columns, rows)
    warnings += key_warnings(frame, columns, settings, table)
    if table.text:
        warnings += text_warnings(frame, columns, settings, table)
    warnings += _unlabelled(columns, settings, rows)
    return warnings + list(_rare_classes(target))


def row_hash(names: Sequence[str]) -> pl.Expr:
    """Return 64 bits of each row, over these columns. Different rows share them by a rare chance only."""
    parts = [pl.col(name).hash(seed) for seed, name in enumerate(names, start=1)]
    return functools.reduce(operator.xor, parts).alias("\x1fhash of the row")


def duplicated_keys(frame: pl.LazyFrame, key: Sequence[str]) -> list[Violation]:
    """Return a violation where rows have the key of an earlier row. (It does stop a run.)"""
    names = frame.collect_schema().names()
    for name in key:
        if name not in names:
            raise StageFailure(f"data.key names {name!r}, which is not in the data", FIX)
    if not key:
        return []
    rule = Rule(key[0], "key", f"whose key {', '.join(key)} an earlier row has")
    return broken(frame, {rule: ~pl.struct(key).is_first_distinct()})


def _duplicates(frame: pl.LazyFrame, rows: int) -> Iterator[Violation]:
    hashes = frame.select(row_hash(frame.collect_schema().names())).collect().to_series()
    ordered = hashes.sort().to_numpy()  # which takes a fifth of the memory of a set
    count = int((ordered[1:] == ordered[:-1]).sum())
    if count:
        message = f"{count:,} of {rows:,} rows repeat another row in full"
        yield Violation("", "duplicate_rows", message, count, count / rows)


def _column(column: ColumnReport, rows: int) -> Iterator[Violation]:
    name, distinct = column["name"], column.get("distinct", 0)
    if column["missing"] == rows:
        yield Violation(name, "all_missing", f"column {name!r} has no value at all", rows, 1.0)
    elif distinct == 1 and not column["missing"]:
        yield Violation(name, "constant", f"column {name!r} has one value in every row", rows, 1.0)
    values = rows - column["missing"]
    if column["type"] == "string" and values >= FEW_ROWS and distinct > TOO_DISTINCT * values:
        message = f"column {name!r} has {distinct:,} different texts in {values:,} rows: a key, or free text"
        yield Violation(name, "too_distinct", f"{message}; consider exclude", share=distinct / values)


def _outliers(frame: pl.LazyFrame, columns: Sequence[ColumnReport], rows: int) -> Iterator[Violation]:
    if rows < FEW_ROWS:
        return
    masks = {}
    for column in columns:
        q25, q75 = column.get("q25"), column.get("q75")
        if column["type"] not in NUMBERS or q25 is None or q75 is None:
            continue
        reach = FENCE * (q75 - q25)
        if reach > 0:  # else more than half of the rows have one value: there is no scale to be far from
            low, high, name = q25 - reach, q75 + reach, column["name"]
            words = f"beyond {FENCE:g} interquartile ranges ({low:g} to {high:g})"
            masks[Rule(name, "outliers", words)] = (pl.col(name) < low) | (pl.col(name) > high)
    yield from broken(frame, masks, MANY_OUTLIERS)


def _unlabelled(columns: Sequence[ColumnReport], settings: Settings, rows: int) -> Iterator[Violation]:
    missing = next(column["missing"] for column in columns if column["name"] == settings.target)
    if missing and settings.unlabelled == "drop":
        message = f"{missing:,} of {rows:,} rows have no {settings.target!r}, and are left out"
        yield Violation(settings.target, "unlabelled", message, missing, missing / rows)


def _rare_classes(target: TargetReport) -> Iterator[Violation]:
    counts = target.get("classes") or {}
    rows = sum(counts.values())
    for label, count in counts.items():
        if count < RARE_CLASS * rows * 2 / len(counts):
            message = f"class {label!r} of {target['name']!r} has {count:,} of {rows:,} rows"
            yield Violation(target["name"], "rare_class", message, count, count / rows)
