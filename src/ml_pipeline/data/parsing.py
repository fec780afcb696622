"""How a column is brought into its type's own representation.

NaN and "" are missing values: a served model is given exactly those for them, so they are missing in
training too.
"""

import re
from collections.abc import Callable

import polars as pl

from ml_pipeline.columns import text
from ml_pipeline.columns.polars_types import DTYPES, type_of
from ml_pipeline.columns.text import NO_RULES, TextRules
from ml_pipeline.columns.types import NUMBERS

MANY = 200_000  # distinct texts of a column that are not looked at one by one
ISO = re.compile(r"\d{4}-\d\d-\d\d(?:$|[T ]\d\d:)", re.ASCII)


def present(column: pl.Expr) -> pl.Expr:
    """Return the texts of a column that is not of strings, stripped: null for those that mean "missing"."""
    stripped = column.str.strip_chars()
    return pl.when(~stripped.str.to_lowercase().is_in(sorted(text.MISSING))).then(stripped)


def parsed(column: pl.Expr, column_type: str) -> pl.Expr:
    """Return stripped texts in a type other than string: null if the text is not plainly a value of it."""
    if column_type == "number":
        return column.cast(pl.Float64, strict=False)
    if column_type == "integer":  # pandas writes an integer column with missing values as 37.0
        number = column.cast(pl.Float64, strict=False)
        whole = pl.when(number == number.floor()).then(number.cast(pl.Int64, strict=False))
        return pl.coalesce(column.cast(pl.Int64, strict=False), whole)
    if column_type == "boolean":
        lower = column.str.to_lowercase()
        true, false = (
            [key for key, value in text.BOOLEANS.items() if value is is_true] for is_true in (True, False)
        )
        return pl.when(lower.is_in(true)).then(True).when(lower.is_in(false)).then(False)
    iso = column.str.replace(" ", "T", literal=True)
    zoned = iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", strict=False, time_unit="us", time_zone="UTC")
    return pl.coalesce(
        zoned.dt.replace_time_zone(None),
        iso.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us"),
        iso.str.to_datetime("%Y-%m-%dT%H:%M", strict=False, time_unit="us"),
        iso.str.to_datetime("%Y-%m-%d", strict=False, time_unit="us"),
    )


def distinct_texts(frame: pl.LazyFrame, name: str) -> pl.Series | None:
    """Return a column's distinct texts, None if there are too many to look at each."""
    column = pl.col(name)
    if frame.select(column.approx_n_unique()).collect().item() > MANY:
        return None
    return frame.select(column).unique().collect()[name].drop_nulls()


def converted(
    frame: pl.LazyFrame, name: str, column_type: str, rules: TextRules, *, plain: bool = False
) -> tuple[pl.Expr, pl.Expr | None]:
    """Return a column of text in its type, and which rows have a text that is no value of it (None: no row).

    With `plain`, each text is known to be one. Distinct texts are converted one by one where there are few of
    them; of many, those that are not plain values. Both as `columns.text` does, by which the serving image
    reads them too.
    """
    column = pl.col(name)
    if plain:
        return _numeric(column.cast(DTYPES[column_type]), column_type, rules), None
    distinct = distinct_texts(frame, name)
    if distinct is not None:
        values, wrong = _values(distinct, column_type, rules)
        value = column.replace_strict(distinct, values, default=None, return_dtype=DTYPES[column_type])
        return _numeric(value, column_type, rules), column.is_in(wrong.implode()) if len(wrong) else None
    texts = present(column)
    value = parsed(texts, column_type)
    form, comma = rules.formats.get(name), name in rules.commas
    if column_type == "datetime" and form:
        value = pl.lit(None, DTYPES["datetime"])
    elif comma and column_type in NUMBERS:
        value = pl.when(~texts.str.contains(".", literal=True)).then(value)
    odd = (
        frame.select(texts.alias(name)).filter(texts.is_not_null() & value.is_null()).unique().collect()[name]
    )
    if len(odd):
        values, _ = _values(odd, column_type, rules)
        others = texts.replace_strict(odd, values, default=None, return_dtype=DTYPES[column_type])
        value = pl.coalesce(value, others)
    return _numeric(value, column_type, rules), texts.is_not_null() & value.is_null()


def _values(distinct: pl.Series, column_type: str, rules: TextRules) -> tuple[pl.Series, pl.Series]:
    """Return the values of distinct texts, null if one is none, and those texts that are wrong."""
    name = distinct.name
    form, comma = rules.formats.get(name), name in rules.commas
    texts = distinct.to_frame().select(present(pl.col(name)).alias(name))[name]
    values = texts.to_frame().select(parsed(pl.col(name), column_type).alias(name))[name]
    if column_type == "datetime" and form:
        values = pl.Series(name, [None] * len(values), DTYPES["datetime"])
    elif comma and column_type in NUMBERS:
        values = values.set(texts.str.contains(".", literal=True), None)
    left = texts.is_not_null() & values.is_null()
    if left.any():
        convert = _conversion(column_type, comma=comma, form=form)
        found = [convert(each) for each in texts.filter(left)]
        values = values.scatter(left.arg_true(), pl.Series(found, dtype=DTYPES[column_type]))
    return values, distinct.filter(texts.is_not_null() & values.is_null())


def _numeric(value: pl.Expr, column_type: str, rules: TextRules) -> pl.Expr:
    """Leave out NaN, and the numbers that the project counts as missing."""
    if column_type not in NUMBERS:
        return value
    value = value.fill_nan(None) if column_type == "number" else value
    if not rules.numbers:
        return value
    return pl.when(~value.cast(pl.Float64).is_in(sorted(rules.numbers))).then(value)


def _conversion(column_type: str, *, comma: bool, form: str | None) -> Callable[[str], object]:
    if column_type == "datetime":
        return lambda each: text.time(each, form) if form else None
    if column_type == "number":
        return lambda each: (
            None if (value := text.number(each, "," if comma else ".")) is None else float(value)
        )
    if column_type == "integer":
        return lambda each: text.integer(each, "," if comma else ".")
    return lambda _: None


def plain(name: str, dtype: pl.DataType, rules: TextRules = NO_RULES) -> pl.Expr:
    """Return a column in its type's own Polars type, times in UTC; null for NaN, "" and `rules.missing`."""
    column, column_type = pl.col(name), type_of(dtype)
    if column_type == "number":
        return _numeric(column.cast(DTYPES["number"]), column_type, rules)
    if column_type == "string":
        value = column.cast(DTYPES["string"])
        return pl.when(~value.is_in(["", *sorted(rules.texts)])).then(value).alias(name)
    if column_type == "datetime":
        zoned = getattr(dtype, "time_zone", None) is not None
        time = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zoned else column
        return time.cast(DTYPES["datetime"])
    if column_type == "integer":
        return _numeric(column.cast(DTYPES["integer"], strict=False), column_type, rules)
    return column
