"""What is odd in a table though its schema allows it: each oddity is one line, and none stops a run."""

import functools
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data.schema import FIX, Violation, broken

RARE_CLASS = 0.05  # of the rows, where two classes are
TOO_DISTINCT = 0.5  # distinct texts a row: a name or a key, which no model learns from
FEW_ROWS = 50  # below, a share says nothing
FENCE = 3.0  # interquartile ranges: Tukey's outer fence, "far out" (Exploratory Data Analysis, 1977)
MANY_OUTLIERS = 0.01


def oddities(
    frame: pl.LazyFrame, described: Sequence[Mapping[str, Any]], target: Mapping[str, Any], text: bool
) -> list[Violation]:
    """Look for duplicated rows, constant and keylike columns, far outliers, mixed types and rare classes."""
    rows = frame.select(pl.len()).collect().item()
    found = list(_duplicates(frame, rows))
    for column in described:
        if column["name"] != target["name"]:
            found += _column(column, rows)
    found += _outliers(frame, described, rows)
    if text:
        found += _mixed(frame, described)
    return found + list(_rare_classes(target))


def row_hash(names: Sequence[str]) -> pl.Expr:
    """Return 64 bits of each row, over these columns: rows that differ share them by a rare chance only."""
    parts = [pl.col(name).hash(seed) for seed, name in enumerate(names, start=1)]
    return functools.reduce(operator.xor, parts).alias("hash of the row")


def duplicated_keys(frame: pl.LazyFrame, key: Sequence[str]) -> list[Violation]:
    """Every row whose key an earlier row has; this one does stop a run."""
    names = frame.collect_schema().names()
    for name in key:
        if name not in names:
            raise StageFailure(f"data.key names {name!r}, which is not in the data", FIX)
    if not key:
        return []
    again = ~pl.struct(key).is_first_distinct()
    return broken(frame, {(key[0], "key", f"whose key {', '.join(key)} an earlier row has"): again})


def _duplicates(frame: pl.LazyFrame, rows: int) -> Iterator[Violation]:
    hashes = frame.select(row_hash(frame.collect_schema().names())).collect().to_series()
    ordered = hashes.sort().to_numpy()  # which takes a fifth of the memory of a set
    count = int((ordered[1:] == ordered[:-1]).sum())
    if count:
        message = f"{count:,} of {rows:,} rows repeat another row in full"
        yield Violation("", "duplicate_rows", message, count, count / rows)


def _column(column: Mapping[str, Any], rows: int) -> Iterator[Violation]:
    name, distinct = column["name"], column.get("distinct")
    if column["missing"] == rows:
        yield Violation(name, "all_missing", f"column {name!r} has no value at all", rows, 1.0)
    elif distinct == 1 and not column["missing"]:
        yield Violation(name, "constant", f"column {name!r} has one value in every row", rows, 1.0)
    there = rows - column["missing"]
    if column["type"] == "string" and there >= FEW_ROWS and distinct > TOO_DISTINCT * there:
        message = f"column {name!r} has {distinct:,} different texts in {there:,} rows: a key, or free text"
        yield Violation(name, "too_distinct", f"{message}; consider exclude", share=distinct / there)


def _outliers(frame: pl.LazyFrame, described: Sequence[Mapping[str, Any]], rows: int) -> Iterator[Violation]:
    fences = {}
    for column in described:
        if column["type"] in {"integer", "number"} and column["q25"] is not None and rows >= FEW_ROWS:
            reach = FENCE * (column["q75"] - column["q25"])
            if reach > 0:  # more than half of the rows have one value: there is no scale to be far from
                fences[column["name"]] = (column["q25"] - reach, column["q75"] + reach)
    masks = {
        (name, "outliers", f"beyond {FENCE:g} interquartile ranges ({low:g} to {high:g})"):
        (pl.col(name) < low) | (pl.col(name) > high)
        for name, (low, high) in fences.items()
    }  # fmt: skip
    yield from broken(frame, masks, MANY_OUTLIERS)


def _mixed(frame: pl.LazyFrame, described: Sequence[Mapping[str, Any]]) -> Iterator[Violation]:
    """Text columns of a CSV in which some values are numbers and others are not."""
    names = [column["name"] for column in described if column["type"] == "string"]
    if not names:
        return
    numbers = frame.select(pl.col(names).cast(pl.Float64, strict=False).count()).collect().row(0, named=True)
    there = {column["name"]: column for column in described}
    rows = frame.select(pl.len()).collect().item()
    for name, count in numbers.items():
        values = rows - there[name]["missing"]
        if 0 < count < values:
            message = f"column {name!r} is text, but {count:,} of its {values:,} values are numbers"
            yield Violation(name, "mixed_types", message, count, count / values)


def _rare_classes(target: Mapping[str, Any]) -> Iterator[Violation]:
    counts = target.get("classes") or {}
    rows = sum(counts.values())
    for label, count in counts.items():
        if count < RARE_CLASS * rows * 2 / len(counts):
            message = f"class {label!r} of {target['name']!r} has {count:,} of {rows:,} rows"
            yield Violation(target["name"], "rare_class", message, count, count / rows)
