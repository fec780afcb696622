"""How a column is brought into its kind's own type.

NaN and "" are missing values: a served model is given exactly those for them, so nothing else may be
made of them in training.
"""

from typing import Any

import polars as pl

from ml_pipeline.columns.kinds import kind_of

DTYPES: dict[str, Any] = {
    "integer": pl.Int64,
    "number": pl.Float64,
    "string": pl.String,
    "boolean": pl.Boolean,
    "datetime": pl.Datetime("us"),
}


def parsed(column: pl.Expr, kind: str) -> pl.Expr:
    """A column of text as `kind`: null where the text is not one."""
    text = column.str.strip_chars()
    if kind == "number":
        return text.cast(pl.Float64, strict=False)
    if kind == "integer":  # pandas writes an integer column with missing values as 37.0
        number = text.cast(pl.Float64, strict=False)
        whole = pl.when(number == number.floor()).then(number.cast(pl.Int64, strict=False))
        return pl.coalesce(text.cast(pl.Int64, strict=False), whole)
    if kind == "boolean":
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


def plain(name: str, dtype: Any) -> pl.Expr:
    """A column in its kind's own type, NaN and "" as null, times in UTC."""
    column, kind = pl.col(name), kind_of(dtype)
    if kind == "number":
        return column.cast(pl.Float64).fill_nan(None)
    if kind == "string":
        text = column.cast(pl.String)
        return pl.when(text != "").then(text).alias(name)
    if kind == "datetime":
        zoned = getattr(dtype, "time_zone", None) is not None
        time = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zoned else column
        return time.cast(pl.Datetime("us"))
    return column.cast(pl.Int64) if kind == "integer" else column
