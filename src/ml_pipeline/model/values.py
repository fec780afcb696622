"""JSON's values as columns: one NumPy array [N] a column, every value checked against the column's type.

What an array of each type is like stands in `columns.types`.
"""

import math
import reprlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import cast

import numpy as np

from ml_pipeline.columns import text as texts
from ml_pipeline.columns.types import FORMS, TIMES
from ml_pipeline.columns.values import Array, missing
from ml_pipeline.common.names import nearest
from ml_pipeline.model.signature import Column, Label

_NONE = type(None)
_INTEGER = "an integer of 64 bits"
_ACCEPTED = {name: form.python | {_NONE} for name, form in FORMS.items()}
_BRIEF = reprlib.Repr()  # repr() itself ends at some depth, with RecursionError
_BRIEF.maxstring = 80
_BRIEF.maxdict = _BRIEF.maxlist = 3


class BadInput(ValueError):
    """A fault in the caller's input: where it is, and what was expected there. `row` counts from 0."""

    def __init__(
        self, cause: str, row: int | None = None, column: str | None = None, expected: str = "", got: str = ""
    ) -> None:
        super().__init__(cause)
        self.row = row
        self.column = column
        self.expected = expected
        self.got = got

    def document(self) -> dict[str, str | int]:
        """Return the body of the answer."""
        place = {"row": self.row, "column": self.column, "expected": self.expected or None}
        return {"error": str(self), **{key: value for key, value in place.items() if value is not None}}


def wrong(row: int, column: str, expected: str, value: object) -> BadInput:
    """Return the error for a value that its column does not take; `column` is "" where a row is at fault."""
    got = shown(value)
    place = f"instances[{row}].{column}" if column else f"instances[{row}]"
    return BadInput(f"{place}: expected {expected}, got {got}", row, column or None, expected, got)


def shown(value: object) -> str:
    """Return a value from outside for a message: short, whatever its length and depth."""
    text = "null" if value is None else _BRIEF.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def from_rows(rows: object, columns: Sequence[Column]) -> dict[str, Array]:
    """Return the columns of JSON's `instances`, a list of objects. Raises `BadInput`."""
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


def from_values(column: Column, values: Sequence[object]) -> Array:
    """Return one column's values, as JSON has them, as an array [N].

    Raises `BadInput` for a value of another type, and for a null in a column that is not nullable.
    """
    expected, accepted = FORMS[column.type].expected, _ACCEPTED[column.type]
    types = set(map(type, values))
    if not types <= accepted:
        row = next(index for index, value in enumerate(values) if type(value) not in accepted)
        raise wrong(row, column.name, expected, values[row])
    if column.missing:
        values = _without(column.missing, values)
        types = set(map(type, values))
    if not column.nullable and _NONE in types:
        raise wrong(values.index(None), column.name, expected, None)
    if column.type == "string":
        if not column.nullable and "" in values:
            raise wrong(values.index(""), column.name, "a string that is not empty", "")
        return np.array(["" if value is None else value for value in values], dtype=object)
    if column.type == "boolean":
        return np.array(values, dtype=np.bool_ if types == {bool} else np.float64)
    if column.type == "datetime":
        return _times(column, values, types)
    if column.type == "integer":
        return _integers(column, cast("Sequence[float]", values), types)
    return np.array(values, dtype=np.float64)  # None becomes NaN


def _without(missing: tuple[Label, ...], values: Sequence[object]) -> list[object]:
    """Return the values, null for those that the training data counted as missing."""
    rules = texts.TextRules(missing)
    as_texts, as_numbers = rules.texts, rules.numbers

    def stands_for_null(value: object) -> bool:
        if isinstance(value, str):
            return value.strip() in as_texts
        return isinstance(value, int | float) and value in as_numbers

    return [None if stands_for_null(value) else value for value in values]


def _integers(column: Column, values: Sequence[float], types: set[type]) -> Array:
    """Return whole numbers: int64, or float64 where some are missing or written as floats."""
    if types == {int}:
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            row = next(index for index, value in enumerate(values) if not -(2**63) <= value < 2**63)
            raise wrong(row, column.name, _INTEGER, values[row]) from None
    array = np.array(values, dtype=np.float64)
    for row in np.flatnonzero(np.abs(array) >= 2.0**63).tolist():  # as floats some are rounded up to that
        if not -(2**63) <= values[row] < 2**63:
            raise wrong(row, column.name, _INTEGER, values[row])
    broken = np.flatnonzero((array != np.floor(array)) & ~np.isnan(array))
    if len(broken):
        raise wrong(int(broken[0]), column.name, FORMS["integer"].expected, values[int(broken[0])])
    return array


def _times(column: Column, values: Sequence[object], types: set[type]) -> Array:
    """Return times as seconds since 1970, those of the years that ISO 8601 writes with four digits."""
    seconds = [_seconds(column, *each) for each in enumerate(values)] if str in types else values
    array = np.array(seconds, dtype=np.float64)  # None becomes NaN
    for row in np.flatnonzero((array < TIMES[0]) | (array > TIMES[1])).tolist():
        if isinstance(values[row], str):
            continue  # of such a year where it was written, if not in UTC
        expected = f"{FORMS['datetime'].expected}, of the years 1 to 9999 (not milliseconds)"
        raise wrong(row, column.name, expected, values[row])
    return array


def _seconds(column: Column, row: int, value: object) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, str):
        return float(cast("float", value))
    if column.format and (written := texts.time(value, column.format)):
        return written.replace(tzinfo=written.tzinfo or UTC).timestamp()
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise wrong(row, column.name, FORMS["datetime"].expected, value) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def require(columns: Sequence[Column], arrays: Mapping[str, Array]) -> None:
    """Raise `BadInput` for a missing value in a column that is not nullable. For arrays read from a file."""
    for column in columns:
        if not column.nullable:
            rows = np.flatnonzero(missing(arrays[column.name]))
            if len(rows):
                raise wrong(int(rows[0]), column.name, FORMS[column.type].expected, None)
