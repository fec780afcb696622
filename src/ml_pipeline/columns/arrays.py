"""A column of a Polars table as the array that a model is given."""

import math

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_pipeline.columns.types import MICROSECONDS


def to_array(column: pl.Series, column_type: str, *, exact: bool = False) -> npt.NDArray[np.generic]:
    """Return a column as an array [N]: objects for strings, "" where one is missing; float64 for all others.

    With `exact`, integers and booleans of which none is missing stay int64 and bool. A column of text may
    be a datetime in ISO 8601. Raises PolarsError where a value is not of the type.
    """
    if column_type == "string":
        return np.array(column.cast(pl.String).fill_null("").to_list(), dtype=np.object_)
    if column_type == "datetime":
        if column.dtype == pl.String:
            column = column.str.to_datetime(time_unit="us")
        column = column.cast(pl.Datetime("us")).dt.timestamp("us").cast(pl.Float64) / MICROSECONDS
    elif exact and column_type in {"integer", "boolean"} and not column.null_count():
        return column.cast(pl.Int64 if column_type == "integer" else pl.Boolean).to_numpy()
    return column.cast(pl.Float64).fill_null(math.nan).to_numpy()
