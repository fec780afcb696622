"""A compact record of a table, column by column: what a later run and the server compare their rows with.

It travels in the serving image as record.json, so it holds no row: of numbers at most 1,000 order statistics
with their exact ranks, of strings the counts of categories that at least 5 rows share. Once there is a model,
its predictions for these rows are in it too, of classes all counts.

Images that older versions built have such files: what FORMAT 1 means stays. (The server reads it at its
start, so this needs NumPy alone.)
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import numpy.typing as npt

from ml_pipeline.distributions import effects
from ml_pipeline.distributions.effects import Integers, Numeric

FORMAT = 1
POINTS, CATEGORIES, SHARED_BY = 1_000, 1_000, 5
LARGEST = sys.float_info.max  # stands for infinity, which JSON has not


class RecordError(ValueError):
    """A record can't be read. The text says why."""


@dataclass(frozen=True)
class Ranks:
    """Of each of the values in a record: `upto` rows are at most the value, `below` rows less than it."""

    upto: Integers  # [K], ascending
    below: Integers  # [K]


@dataclass(frozen=True)
class Numbers:
    """A column of numbers or times; times are microseconds since 1970.

    A whole column has all its values. A compact one has some of them with their `ranks`; `error` is the
    largest share of rows between two of them: so far its distribution function can be from the column's.
    """

    type: str
    values: Numeric  # [K], ascending
    missing: int
    ranks: Ranks | None = None  # None: whole
    spread: float | None = None  # the finite values' standard deviation; None: to be computed
    error: float = 0.0

    @property
    def rows(self) -> int:
        """How many rows have a value."""
        if self.ranks is None:
            return len(self.values)
        return int(self.ranks.upto[-1]) if len(self.ranks.upto) else 0

    def finite(self) -> "Numbers":
        """Return the column without infinities, which are at its ends."""
        if self.type != "number":
            return self
        low = int(np.searchsorted(self.values, -np.inf, "right"))
        high = int(np.searchsorted(self.values, np.inf, "left"))
        if low == 0 and high == len(self.values):
            return self
        inner = self.values[low:high]
        if self.ranks is None:
            return replace(self, values=inner)
        before = self.ranks.upto[low - 1] if low else 0
        ranks = Ranks(self.ranks.upto[low:high] - before, self.ranks.below[low:high] - before)
        return replace(self, values=inner, ranks=ranks)

    def rank(self, cuts: Numeric) -> Integers:
        """Count the rows that are at most each of `cuts`; of a record, at most its last value there."""
        at = np.searchsorted(self.values, cuts, "right")
        return at if self.ranks is None else np.concatenate([[0], self.ranks.upto])[at]

    def at(self, shares: npt.NDArray[np.float64]) -> Numeric:
        """Return the values up to which these shares of the rows are."""
        if self.ranks is None:
            return self.values[np.ceil(shares * len(self.values)).astype(np.int64) - 1]
        return self.values[np.searchsorted(self.ranks.upto, shares * self.rows)]

    def deviation(self) -> float:
        """Return the finite values' standard deviation."""
        if self.spread is not None:
            return self.spread
        values = self.finite().values
        largest = max(abs(float(values[0])), abs(float(values[-1]))) if len(values) else 0.0
        if largest > 1e150:  # its square would be too large
            return effects.deviation(values.astype(np.float64) / largest) * largest
        return effects.deviation(values)


@dataclass(frozen=True)
class Categories:
    """A column of strings or truth values: rows by category; `other` rows are in unnamed ones."""

    type: str
    counts: Mapping[str, int]
    missing: int
    other: int = 0

    @property
    def rows(self) -> int:
        """How many rows have a value."""
        return sum(self.counts.values()) + self.other


Column = Numbers | Categories


@dataclass(frozen=True)
class Record:
    """The training rows: how many, their columns, and what the model predicts for them.

    There are no `predictions` before there is a model, and in images of older versions.
    """

    rows: int
    columns: Mapping[str, Column]
    predictions: Column | None = None


def compact(column: Column) -> Column:
    """Return what a record keeps of a whole column."""
    if isinstance(column, Categories):
        named = {name: rows for name, rows in column.counts.items() if rows >= SHARED_BY}
        most = dict(sorted(named.items(), key=lambda item: (-item[1], item[0]))[:CATEGORIES])
        return Categories(column.type, most, column.missing, column.rows - sum(most.values()))
    values = column.values
    is_new = np.concatenate([[True] * bool(len(values)), values[1:] != values[:-1]])
    if np.count_nonzero(is_new) > POINTS:
        ranks = np.linspace(0, len(values) - 1, POINTS).round().astype(np.int64)
        firsts = np.unique(np.searchsorted(values, values[ranks]))
    else:
        firsts = np.flatnonzero(is_new)
    points = values[firsts]
    upto = np.searchsorted(values, points, "right")
    error = float((firsts[1:] - upto[:-1]).max(initial=0) / len(values)) if len(values) else 0.0
    return Numbers(column.type, points, column.missing, Ranks(upto, firsts), column.deviation(), error)


# The JSON form. A column's type has the key "kind" there, as in images of older versions.
class _Numbers(TypedDict):
    kind: str
    missing: int
    values: list[float]
    upto: list[int]
    below: list[int]
    spread: float | None
    error: float


class _Categories(TypedDict):
    kind: str
    missing: int
    counts: Mapping[str, int]
    other: int


class _Document(TypedDict, total=False):
    format: int
    rows: int
    columns: dict[str, _Numbers | _Categories]
    predictions: _Numbers | _Categories


def write(record: Record, path: Path) -> None:
    """Write a record, of compact columns."""
    document: _Document = {
        "format": FORMAT,
        "rows": record.rows,
        "columns": {name: _to_json(column) for name, column in record.columns.items()},
    }
    if record.predictions is not None:
        document["predictions"] = _to_json(record.predictions)
    path.write_text(json.dumps(document, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def _to_json(column: Column) -> _Numbers | _Categories:
    if isinstance(column, Categories):
        return {
            "kind": column.type, "missing": column.missing, "counts": column.counts, "other": column.other
        }  # fmt: skip
    if column.ranks is None:
        raise TypeError("a record has compact columns")
    values = np.clip(column.values, -LARGEST, LARGEST) if column.type == "number" else column.values
    return {
        "kind": column.type, "missing": column.missing, "values": values.tolist(),
        "upto": column.ranks.upto.tolist(), "below": column.ranks.below.tolist(),
        "spread": column.spread, "error": column.error,
    }  # fmt: skip


def read(path: Path) -> Record:
    """Return the record in a file. Raises RecordError where it can't be read or has another format."""
    try:
        document: _Document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise RecordError(f"its format is {document['format']}, and this version reads format {FORMAT}")
        columns = {name: _from_json(column) for name, column in document["columns"].items()}
        predictions = document.get("predictions")
        return Record(document["rows"], columns, _from_json(predictions) if predictions else None)
    except RecordError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{type(error).__name__}: {error}") from None


def _from_json(column: _Numbers | _Categories) -> Column:
    if "counts" in column:
        counted = cast("_Categories", column)
        counts = {name: int(rows) for name, rows in counted["counts"].items()}
        return Categories(counted["kind"], counts, int(counted["missing"]), int(counted["other"]))
    ranks = Ranks(np.array(column["upto"], np.int64), np.array(column["below"], np.int64))
    values: Numeric
    if column["kind"] == "number":
        values = np.array(column["values"], np.float64)
        values[values == LARGEST], values[values == -LARGEST] = np.inf, -np.inf
    else:
        values = np.array(column["values"], np.int64)
    if not len(values) == len(ranks.upto) == len(ranks.below):
        raise ValueError(f"{len(values)} values, {len(ranks.upto)} and {len(ranks.below)} ranks")
    return Numbers(column["kind"], values, int(column["missing"]), ranks, column["spread"], column["error"])
