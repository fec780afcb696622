"""The five types of a column, and what a value of each is in JSON, in a request and in an array.

| type     | in arrays                            | missing | in JSON                         |
|----------|--------------------------------------|---------|---------------------------------|
| integer  | int64, or float64 where some miss    | NaN     | an integer                      |
| number   | float64                              | NaN     | a number                        |
| string   | objects                              | ""      | a string; a missing one is null |
| boolean  | bool, or float64 where some miss     | NaN     | true or false                   |
| datetime | float64, seconds since 1970 in UTC   | NaN     | ISO 8601 text, or these seconds |

Tables and records have microseconds since 1970 in UTC for a datetime. The schema of the project's data, a
model's signature, the server and its OpenAPI document all take what they know of types from here. (It needs
only the standard library: the serving image has no Polars.)
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

ColumnType = Literal["integer", "number", "string", "boolean", "datetime"]
TYPES: tuple[ColumnType, ...] = get_args(ColumnType)
# A table may hold two more: columns of missing values alone, and lists, structs, bytes and the like.
TableType = Literal[ColumnType, "empty", "other"]
NOT_FEATURES = frozenset({"empty", "other"})  # no model takes them

NUMBERS = frozenset({"integer", "number"})  # one may stand for the other: 3 and 3.0
ORDERED = NUMBERS | {"datetime"}  # compared by size
CATEGORICAL = frozenset({"string", "boolean"})  # compared by value

MICROSECONDS = 1e6  # in a second
TIMES = (-62_135_596_800.0, 253_402_300_800.0)  # seconds since 1970 of the years 1 to 9999
_TENSOR_NUMBERS = frozenset(
    {"FP16", "FP32", "FP64", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))}
)


@dataclass(frozen=True)
class Form:
    """What values of one type are in a request.

    `python` are the types that Python's JSON reader makes of them, of which `exact` need no conversion.
    `datatype` is the Open Inference Protocol's that the server names, `datatypes` are those that it accepts.
    """

    expected: str  # as errors name it
    python: frozenset[type]
    exact: frozenset[type]
    json_schema: tuple[Mapping[str, object], ...]  # any of these
    datatype: str
    datatypes: frozenset[str]


FORMS: Mapping[str, Form] = {
    "integer": Form(
        "an integer",
        frozenset({int, float}),  # 3.0 is 3
        frozenset({int}),
        ({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},),
        "INT64",
        _TENSOR_NUMBERS,
    ),
    "number": Form(
        "a number",
        frozenset({int, float}),
        frozenset({int, float}),
        ({"type": "number"},),
        "FP64",
        _TENSOR_NUMBERS,
    ),
    "string": Form(
        "a string",
        frozenset({str}),
        frozenset({str}),
        ({"type": "string"},),
        "BYTES",
        frozenset({"BYTES"}),
    ),
    "boolean": Form(
        "true or false",
        frozenset({bool}),
        frozenset({bool}),
        ({"type": "boolean"},),
        "BOOL",
        frozenset({"BOOL"}),
    ),
    "datetime": Form(
        "an ISO 8601 time or seconds since 1970",
        frozenset({int, float, str}),
        frozenset({int, float}),
        (
            {"type": "string", "format": "date-time"},
            {"type": "number", "minimum": TIMES[0], "maximum": TIMES[1]},
        ),
        "FP64",
        _TENSOR_NUMBERS | {"BYTES"},
    ),
}


def missing_value(column_type: str) -> str | float:
    """Return what stands in an array for a missing value: "" or NaN."""
    return "" if column_type == "string" else math.nan


def compatible(one: str, other: str) -> bool:
    """Return whether values of one type may be compared with values of the other."""
    return one == other or {one, other} == NUMBERS


def json_schema(column_type: str, *, nullable: bool) -> dict[str, object]:
    """Return the JSON schema of a value. Null and "" are missing strings, so both need `nullable`."""
    choices = [dict(choice) for choice in FORMS[column_type].json_schema]
    if nullable:
        choices.append({"type": "null"})
    elif column_type == "string":
        choices = [{"type": "string", "minLength": 1}]
    return choices[0] if len(choices) == 1 else {"anyOf": choices}
