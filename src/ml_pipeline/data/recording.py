"""The columns of a table as `distributions` compares them, and a table's record."""

from collections.abc import Mapping

import polars as pl

from ml_pipeline.columns.types import CATEGORICAL, ORDERED
from ml_pipeline.distributions import sorting
from ml_pipeline.distributions.record import Categories, Column, Numbers, Record, compact


def whole(frame: pl.LazyFrame, name: str, column_type: str) -> Column | None:
    """Read one column of a conformed table; None if its type can't be compared."""
    column = frame.select(name).collect(engine="streaming").to_series()
    missing, column = column.null_count(), column.drop_nulls()
    if column_type in CATEGORICAL:
        counted = column.cast(pl.String).alias("value").value_counts(sort=True)
        return Categories(column_type, dict(counted.iter_rows()), missing)
    if column_type in ORDERED:
        return Numbers(column_type, sorting.ascending(column), missing)
    return None


def record_of(frame: pl.LazyFrame, types: Mapping[str, str]) -> Record:
    """Record a table, of which one column at a time is in memory."""
    columns = {}
    for name, column_type in types.items():
        column = whole(frame, name, column_type)
        if column:
            columns[name] = compact(column)
    return Record(frame.select(pl.len()).collect().item(), columns)
