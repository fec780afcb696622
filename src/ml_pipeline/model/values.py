"""Values in, columns out: one NumPy array [N] a column, every value checked against its type.

strings: objects, "" where missing; numbers and times (seconds since 1970, UTC): float64 with NaN
where missing, or int64; booleans: bool, or float64 with NaN where some are missing.
"""

import math
import reprlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import numpy as np

from ml_pipeline.common.names import nearest
from ml_pipeline.model.signature import Column

EXPECTED = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "boolean": "true or false",
    "datetime": "an ISO 8601 time or seconds since 1970",
}
_TAKEN: dict[str, frozenset[type]] = {
    "integer": frozenset({int, float, type(None)}),
    "number": frozenset({int, float, type(None)}),
    "string": frozenset({str, type(None)}),
    "boolean": frozenset({bool, type(None)}),
    "datetime": frozenset({int, float, str, type(None)}),
}
_BRIEF = reprlib.Repr()  # repr() itself ends at some depth, with RecursionError
_BRIEF.maxstring = 80
_BRIEF.maxdict = _BRIEF.maxlist = 3


class BadInput(ValueError):
    """The caller's fault: where it is, and what was expected there. `row` counts from 0."""

    def __init__(
        self, cause: str, row: int | None = None, column: str | None = None, expected: str = "", got: str = ""
    ) -> None:
        super().__init__(cause)
        self.row = row
        self.column = column
        self.expected = expected
        self.got = got

    def document(self) -> dict[str, Any]:
        """The answer's JSON."""
        where = {"row": self.row, "column": self.column, "expected": self.expected or None}
        return {"error": str(self), **{key: value for key, value in where.items() if value is not None}}


def wrong(row: int, column: str, expected: str, got: Any) -> BadInput:
    """A value that is not what its column takes."""
    told = shown(got)
    where = f"instances[{row}].{column}" if column else f"instances[{row}]"
    return BadInput(f"{where}: expected {expected}, got {told}", row, column or None, expected, told)


def shown(value: Any) -> str:
    """A value from outside for a message: short, whatever its length and depth."""
    text = "null" if value is None else _BRIEF.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def from_rows(rows: Any, columns: Sequence[Column]) -> dict[str, Any]:
    """JSON's `instances`, a list of objects, as columns. Raises `BadInput`."""
    if type(rows) is not list or not rows:
        got = "an empty list" if rows == [] else "nothing" if rows is None else type(rows).__name__
        raise BadInput(f"instances: expected a list of at least one object, got {got}", expected="a list")
    if set(map(type, rows)) != {dict}:
        row = next(index for index, value in enumerate(rows) if type(value) is not dict)
        raise wrong(row, "", "an object of columns", rows[row])
    names = {column.name for column in columns}
    if not names.issuperset(chain.from_iterable(rows)):
        row, unknown = next((i, name) for i, row in enumerate(rows) for name in row if name not in names)
        cause = f"instances[{row}].{unknown[:60]}: the model has no such column; {nearest(unknown, names)}"
        raise BadInput(cause, row, unknown[:60], "a column of the model")
    return {column.name: from_values(column, [row.get(column.name) for row in rows]) for column in columns}


def from_values(column: Column, values: list[Any]) -> Any:
    """One column's values, as JSON has them, as an array. Raises `BadInput` on another type, or a null."""
    found = set(map(type, values))
    if not found <= _TAKEN[column.type]:
        taken = _TAKEN[column.type]
        row = next(index for index, value in enumerate(values) if type(value) not in taken)
        raise wrong(row, column.name, EXPECTED[column.type], values[row])
    if not column.nullable and type(None) in found:
        raise wrong(values.index(None), column.name, EXPECTED[column.type], None)
    if column.type == "string":
        if not column.nullable and "" in values:
            raise wrong(values.index(""), column.name, "a string that is not empty", "")
        return np.array(["" if value is None else value for value in values], dtype=object)
    if column.type == "boolean":
        return np.array(values, dtype=np.bool_ if found == {bool} else np.float64)
    if column.type == "datetime" and str in found:
        return np.array([_seconds(column, row, value) for row, value in enumerate(values)], dtype=np.float64)
    if column.type == "integer":
        return _integers(column, values, found)
    return np.array(values, dtype=np.float64)  # None becomes NaN


def _integers(column: Column, values: list[Any], found: set[type]) -> Any:
    if found == {int}:
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            row = next(index for index, value in enumerate(values) if not -(2**63) <= value < 2**63)
            raise wrong(row, column.name, "an integer of 64 bits", values[row]) from None
    array = np.array(values, dtype=np.float64)
    broken = np.flatnonzero((array != np.floor(array)) & ~np.isnan(array))
    if len(broken):
        raise wrong(int(broken[0]), column.name, EXPECTED["integer"], values[int(broken[0])])
    return array


def _seconds(column: Column, row: int, value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) is not str:
        return float(value)
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise wrong(row, column.name, EXPECTED["datetime"], value) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def missing(array: Any) -> Any:
    """Where an array [N] of a column has no value: a boolean array [N]."""
    if array.dtype.kind in "OU":
        return array == ""  # an array of strings compares as a whole
    return np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), dtype=np.bool_)


def require(columns: Sequence[Column], arrays: Mapping[str, Any]) -> None:
    """Raise `BadInput` for a missing value in a column that takes none. For arrays read from a file."""
    for column in columns:
        if not column.nullable:
            where = np.flatnonzero(missing(arrays[column.name]))
            if len(where):
                raise wrong(int(where[0]), column.name, EXPECTED[column.type], None)
