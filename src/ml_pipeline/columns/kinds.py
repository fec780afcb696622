"""What kind a column is, by its type in a Parquet file: one answer for data, training and serving."""

from typing import Any

import polars as pl

UNTAKEN = frozenset({"empty", "other"})  # what no model is given


def kind_of(dtype: Any) -> str:
    """Return integer, number, string, boolean or datetime, as a schema names them.

    `empty` is a column of nothing but missing values, `other` what no model takes (lists, structs, bytes).
    """
    if dtype.is_integer():
        return "integer"
    if dtype.is_float() or dtype.is_decimal():
        return "number"
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
        return "string"
    if isinstance(dtype, (pl.Datetime, pl.Date)):
        return "datetime"
    return "boolean" if dtype == pl.Boolean else "empty" if dtype == pl.Null else "other"
