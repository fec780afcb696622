"""How a column is brought into its type's own representation.

NaN and "" are missing values: a served model is given exactly those for them, so they are missing in
training too.
"""

import polars as pl

from ml_pipeline.columns.polars_types import DTYPES, type_of


def parsed(column: pl.Expr, column_type: str) -> pl.Expr:
    """Return a column of text in a type other than string: null where the text is not a value of it."""
    text = column.str.strip_chars()
    if column_type == "number":
        return text.cast(pl.Float64, strict=False)
    if column_type == "integer":  # pandas writes an integer column with missing values as 37.0
        number = text.cast(pl.Float64, strict=False)
        whole = pl.when(number == number.floor()).then(number.cast(pl.Int64, strict=False))
        return pl.coalesce(text.cast(pl.Int64, strict=False), whole)
    if column_type == "boolean":
        lower = text.str.to_lowercase()
        true, false = lower.is_in(["true", "1", "1.0"]), lower.is_in(["false", "0", "0.0"])  # 1.0: as above
        return pl.when(true).then(True).when(false).then(False)
    iso = text.str.replace(" ", "T", literal=True)
    zoned = iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", strict=False, time_unit="us", time_zone="UTC")
    return pl.coalesce(
        zoned.dt.replace_time_zone(None),
        iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us"),
        iso.str.to_datetime("%Y-%m-%dT%H:%M", strict=False, time_unit="us"),
        iso.str.to_datetime("%Y-%m-%d", strict=False, time_unit="us"),
    )


def plain(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return a column in its type's own Polars type, NaN and "" as null, times in UTC."""
    column, column_type = pl.col(name), type_of(dtype)
    if column_type == "number":
        return column.cast(DTYPES["number"]).fill_nan(None)
    if column_type == "string":
        text = column.cast(DTYPES["string"])
        return pl.when(text != "").then(text).alias(name)
    if column_type == "datetime":
        zoned = getattr(dtype, "time_zone", None) is not None
        time = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zoned else column
        return time.cast(DTYPES["datetime"])
    return column.cast(DTYPES["integer"]) if column_type == "integer" else column
