"""A compact record of a table, column by column: what a later run compares its rows with.

It travels in the serving image, so it holds no row: of numbers at most 1,000 order statistics with
their exact ranks, of strings the counts of categories that at least 5 rows share. Once there is a model,
its predictions for these rows are in it too, of classes all counts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.distributions import effects, sorting

FORMAT = 1
POINTS, CATEGORIES, SHARED_BY = 1_000, 1_000, 5
LARGEST = float(np.finfo(np.float64).max)  # stands for infinity, which JSON has not
NUMERIC = {"integer", "number", "datetime"}


@dataclass(frozen=True)
class Numbers:
    """A numeric column; times are microseconds since 1970.

    A whole column has all its values, sorted. Of a compact one `upto[k]` rows are at most `values[k]`,
    `below[k]` less than that, and `error` is the largest share of rows between two values: so far a
    distribution function can be from the truth there.
    """

    kind: str
    values: Any  # [K], ascending
    missing: int
    upto: Any = None  # [K], ascending; None: whole
    below: Any = None  # [K]; None: whole
    spread: float | None = None  # the finite values' standard deviation, where it is known
    error: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether every row is there."""
        return self.upto is None

    @property
    def rows(self) -> int:
        """Rows that have a value."""
        return len(self.values) if self.is_whole else int(self.upto[-1]) if len(self.upto) else 0

    def finite(self) -> "Numbers":
        """Leave infinities out, which stand at the ends."""
        if self.kind != "number":
            return self
        low: Any = np.searchsorted(self.values, -np.inf, "right")
        high: Any = np.searchsorted(self.values, np.inf, "left")
        if low == 0 and high == len(self.values):
            return self
        inner = self.values[low:high]
        if self.is_whole:
            return Numbers(self.kind, inner, self.missing, spread=self.spread)
        before = self.upto[low - 1] if low else 0
        upto, below = self.upto[low:high] - before, self.below[low:high] - before
        return Numbers(self.kind, inner, self.missing, upto, below, self.spread, self.error)

    def rank(self, cuts: Any) -> Any:
        """Count the rows that are at most each of `cuts`; of a record, at most its last value there."""
        at = np.searchsorted(self.values, cuts, "right")
        return at if self.is_whole else np.concatenate([[0], self.upto])[at]

    def at(self, shares: Any) -> Any:
        """Return the values up to which these shares of the rows are."""
        if self.is_whole:
            return self.values[np.ceil(shares * len(self.values)).astype(np.int64) - 1]
        return self.values[np.searchsorted(self.upto, shares * self.rows)]

    def deviation(self) -> float:
        """Return the finite values' standard deviation."""
        if self.spread is not None:
            return self.spread
        values = self.finite().values
        largest = max(abs(float(values[0])), abs(float(values[-1]))) if len(values) else 0.0
        if largest > 1e150:  # its square would be too large
            return effects.deviation(values / largest) * largest
        return effects.deviation(values)


@dataclass(frozen=True)
class Categories:
    """A column of strings or truth values: rows by category; `other` rows are in unnamed ones."""

    kind: str
    counts: Mapping[str, int]
    missing: int
    other: int = 0

    @property
    def rows(self) -> int:
        """Rows that have a value."""
        return sum(self.counts.values()) + self.other


Column = Numbers | Categories


def whole(frame: pl.LazyFrame, name: str, kind: str) -> Column | None:
    """Read one column of a conformed table; None where it is of a kind that nobody compares."""
    column = frame.select(name).collect(engine="streaming").to_series()
    missing, column = column.null_count(), column.drop_nulls()
    if kind in {"string", "boolean"}:
        counted = column.cast(pl.String).value_counts(sort=True)
        return Categories(kind, dict(counted.iter_rows()), missing)
    if kind not in NUMERIC:
        return None
    return Numbers(kind, sorting.ascending(column), missing)


def compact(column: Column) -> Column:
    """Keep of a whole column what the record keeps."""
    if isinstance(column, Categories):
        named = {name: rows for name, rows in column.counts.items() if rows >= SHARED_BY}
        most = dict(sorted(named.items(), key=lambda item: (-item[1], item[0]))[:CATEGORIES])
        return Categories(column.kind, most, column.missing, column.rows - sum(most.values()))
    values: Any = column.values
    new: Any = np.concatenate([[True] * bool(len(values)), values[1:] != values[:-1]])
    if np.count_nonzero(new) > POINTS:
        ranks = np.linspace(0, len(values) - 1, POINTS).round().astype(np.int64)
        firsts = np.unique(np.searchsorted(values, values[ranks]))
    else:
        firsts = np.flatnonzero(new)
    points = values[firsts]
    upto: Any = np.searchsorted(values, points, "right")
    error = float((firsts[1:] - upto[:-1]).max(initial=0) / len(values)) if len(values) else 0.0
    return Numbers(column.kind, points, column.missing, upto, firsts, column.deviation(), error)


def of(frame: pl.LazyFrame, kinds: Mapping[str, str]) -> dict[str, Column]:
    """Record the columns of a table, of which one at a time is in memory."""
    found = {}
    for name, kind in kinds.items():
        column = whole(frame, name, kind)
        if column:
            found[name] = compact(column)
    return found


def write(columns: Mapping[str, Column], rows: int, path: Path) -> None:
    """Write a record, of compact columns."""
    document = {
        "format": FORMAT,
        "rows": rows,
        "columns": {name: _document(column) for name, column in columns.items()},
    }
    path.write_text(json.dumps(document, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def with_predictions(path: Path, predictions: Column, output: Path) -> None:
    """Copy a record, and add how the model's predictions for its rows are distributed."""
    document = json.loads(path.read_text()) | {"predictions": _document(predictions)}
    output.write_text(json.dumps(document, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def _document(column: Column) -> dict[str, Any]:
    if isinstance(column, Categories):
        return {
            "kind": column.kind, "missing": column.missing, "counts": column.counts, "other": column.other
        }  # fmt: skip
    values = np.clip(column.values, -LARGEST, LARGEST) if column.kind == "number" else column.values
    return {
        "kind": column.kind, "missing": column.missing, "values": values.tolist(),
        "upto": column.upto.tolist(), "below": column.below.tolist(),
        "spread": column.spread, "error": column.error,
    }  # fmt: skip


def read(path: Path) -> tuple[int, dict[str, Column]]:
    """Return the rows and the columns of a record. Raises StageFailure where the file is none."""
    try:
        document = json.loads(path.read_text())
        if document["format"] != FORMAT:
            raise StageFailure(
                f"the baseline's record of its data has format {document['format']}, not {FORMAT}",
                "set reference under [tool.ml-pipeline.data] to a table",
            )
        return document["rows"], {name: _column(found) for name, found in document["columns"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        cause = f"the baseline's record of its data can't be read ({type(error).__name__}: {error})"
        raise StageFailure(cause, "set reference under [tool.ml-pipeline.data] to a table") from None


def _column(found: dict[str, Any]) -> Column:
    if "counts" in found:
        return Categories(found["kind"], found["counts"], found["missing"], found["other"])
    values = np.array(found["values"], np.float64 if found["kind"] == "number" else np.int64)
    if found["kind"] == "number":
        values[values == LARGEST], values[values == -LARGEST] = np.inf, -np.inf
    upto, below = (np.array(found[key], np.int64) for key in ("upto", "below"))
    return Numbers(found["kind"], values, found["missing"], upto, below, found["spread"], found["error"])
