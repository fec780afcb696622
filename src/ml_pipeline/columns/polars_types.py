"""The type of a column of a Polars table, and the Polars type that a column of each type has."""

from collections.abc import Mapping

import polars as pl

from ml_pipeline.columns.types import TableType

DTYPES: Mapping[str, pl.DataType] = {
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "string": pl.String(),
    "boolean": pl.Boolean(),
    "datetime": pl.Datetime("us"),
}


def type_of(dtype: pl.DataType) -> TableType:
    """Return the type of a column: `empty` has only missing values, `other` is a type that no model takes."""
    if dtype.is_integer():
        return "integer"
    if dtype.is_float() or dtype.is_decimal():
        return "number"
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
        return "string"
    if isinstance(dtype, (pl.Datetime, pl.Date)):
        return "datetime"
    return "boolean" if dtype == pl.Boolean else "empty" if dtype == pl.Null else "other"


def types_of(frame: pl.LazyFrame | pl.DataFrame) -> dict[str, TableType]:
    """Return the type of each column of a table."""
    return {name: type_of(dtype) for name, dtype in frame.collect_schema().items()}
