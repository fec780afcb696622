"""Columns of a table as arrays, and arrays as JSON's values."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_pipeline.columns.arrays import to_array
from ml_pipeline.columns.polars_types import DTYPES, type_of, types_of
from ml_pipeline.columns.types import NOT_FEATURES, TYPES
from ml_pipeline.columns.values import missing, plain

pytestmark = pytest.mark.program

NOON = datetime(2024, 1, 31, 12, 0, 0, 250_000)
SECONDS = NOON.replace(tzinfo=UTC).timestamp()
COLUMNS: list[tuple[str, list[Any], list[Any]]] = [
    ("integer", [3, None, -2], [3.0, None, -2.0]),
    ("number", [0.5, None, 1e300], [0.5, None, 1e300]),
    ("string", ["a", None, "ä"], ["a", None, "ä"]),
    ("boolean", [True, None, False], [True, None, False]),
    ("datetime", [NOON, None], [SECONDS, None]),
]


def test_each_type_has_a_dtype_of_that_type() -> None:
    assert [type_of(dtype) for dtype in DTYPES.values()] == list(DTYPES) == list(TYPES)
    assert {type_of(pl.Null()), type_of(pl.List(pl.Int8())), type_of(pl.Binary())} == NOT_FEATURES


def test_types_of_narrow_and_wide_columns() -> None:
    frame = pl.DataFrame(
        {"a": [1], "b": [1.0], "c": ["x"], "d": [date(2024, 1, 1)], "e": [None]},
        schema_overrides={"a": pl.UInt8, "b": pl.Float32, "c": pl.Categorical},
    )
    expected = {"a": "integer", "b": "number", "c": "string", "d": "datetime", "e": "empty"}
    assert types_of(frame) == types_of(frame.lazy()) == expected


@pytest.mark.parametrize(("column_type", "values", "expected"), COLUMNS)
@pytest.mark.parametrize("exact", [False, True])
def test_what_is_missing_stays_missing(
    column_type: str, values: list[Any], expected: list[Any], exact: bool
) -> None:
    column = pl.Series("x", values, dtype=DTYPES[column_type])
    array = to_array(column, column_type, exact=exact)
    assert array.dtype == (object if column_type == "string" else np.float64)
    assert missing(array).tolist() == [value is None for value in values]
    assert plain(array, column_type) == expected


def test_whole_columns_are_exact_where_that_is_asked_for() -> None:
    large = 2**53 + 1
    whole = pl.Series("x", [large])
    assert to_array(whole, "integer", exact=True).tolist() == [large]
    assert to_array(whole, "integer").tolist() == [float(large)]
    assert to_array(pl.Series("x", [True]), "boolean", exact=True).dtype == np.bool_
    assert to_array(pl.Series("x", [True]), "boolean").tolist() == [1.0]


def test_units_of_time_and_text_are_the_same_moment() -> None:
    moments = pl.Series("x", [NOON])
    for unit in ("ms", "us", "ns"):
        assert to_array(moments.cast(pl.Datetime(unit)), "datetime").tolist() == [SECONDS]  # type: ignore[arg-type]
    assert to_array(pl.Series("x", [NOON.isoformat()]), "datetime").tolist() == [SECONDS]
    day = pl.Series("x", [date(1970, 1, 2)])
    assert to_array(day, "datetime").tolist() == [timedelta(days=1).total_seconds()]


def test_a_value_of_another_type_is_an_error() -> None:
    with pytest.raises(pl.exceptions.PolarsError):
        to_array(pl.Series("x", ["old"]), "number")
    with pytest.raises(pl.exceptions.PolarsError):
        to_array(pl.Series("x", ["soon"]), "datetime")
