"""The rules of the schema, [data.columns], and the rows that break them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal

import polars as pl

from ml_pipeline.columns.polars_types import DTYPES, types_of
from ml_pipeline.columns.types import NUMBERS
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data.parsing import parsed
from ml_pipeline.data.violations import FIX, Rule, Violation, broken
from ml_pipeline.project.data_rules import Column


def check(frame: pl.LazyFrame, columns: Mapping[str, Column]) -> list[Violation]:
    """Return every rule that a row of the (conformed) table breaks. Raises StageFailure for a wrong rule."""
    types = types_of(frame)
    masks: dict[Rule, pl.Expr] = {}
    for name, rules in columns.items():
        if name in types:
            masks |= _masks(name, rules, types[name])
    limits = {
        name: rules.max_missing
        for name, rules in columns.items()
        if name in types and rules.max_missing is not None
    }
    return broken(frame, masks) + _too_many_missing(frame, limits)


def _too_many_missing(frame: pl.LazyFrame, limits: Mapping[str, float]) -> list[Violation]:
    if not limits:
        return []
    counts = frame.select(pl.len(), pl.col(list(limits)).is_null().sum().name.prefix("n "))
    row = counts.collect().row(0, named=True)
    violations = []
    for name, limit in limits.items():
        count, share = row[f"n {name}"], row[f"n {name}"] / row["len"]
        if share > limit:
            message = f"column {name!r} has {share:.1%} missing values, above max_missing = {limit}"
            violations.append(Violation(name, "max_missing", message, count, share))
    return violations


def _masks(name: str, rules: Column, column_type: str) -> dict[Rule, pl.Expr]:
    column = pl.col(name)
    masks = dict(_bounds(name, rules, column_type))
    if rules.allowed is not None:
        strict = column_type != "datetime"
        try:
            allowed = pl.Series(rules.allowed, dtype=DTYPES.get(column_type), strict=strict)
        except (TypeError, pl.exceptions.PolarsError):
            raise StageFailure(
                f"column {name!r} has allowed values that are not {column_type}s", FIX
            ) from None
        words = "that are not among its allowed values"
        masks[Rule(name, "allowed", words)] = ~column.is_in(allowed.implode())
    if rules.pattern is not None:
        if column_type not in {"string", "empty"}:
            raise StageFailure(f"column {name!r} has a pattern, but is {column_type}, not string", FIX)
        matches = column.cast(pl.String).str.contains(_whole(name, rules.pattern))
        masks[Rule(name, "pattern", f"that do not match {rules.pattern!r}")] = ~matches
    if rules.unique:
        again = column.is_not_null() & ~column.is_first_distinct()
        masks[Rule(name, "unique", "that an earlier row has")] = again
    if not rules.nullable:
        masks[Rule(name, "nullable", "missing, which nullable = false forbids")] = column.is_null()
    return masks


def _bounds(name: str, rules: Column, column_type: str) -> Iterator[tuple[Rule, pl.Expr]]:
    low, high = _bound(name, rules, "min", column_type), _bound(name, rules, "max", column_type)
    if low is not None and high is not None and low > high:  # type: ignore[operator]  # both are of one type
        raise StageFailure(f"column {name!r} has min = {rules.min} above max = {rules.max}", FIX)
    if low is not None:
        yield Rule(name, "min", f"below min = {rules.min}"), pl.col(name) < pl.lit(low)
    if high is not None:
        yield Rule(name, "max", f"above max = {rules.max}"), pl.col(name) > pl.lit(high)


def _bound(
    name: str, rules: Column, rule: Literal["min", "max"], column_type: str
) -> float | datetime | None:
    value = rules.min if rule == "min" else rules.max
    if value is None or column_type == "empty":
        return None
    if column_type == "datetime" and isinstance(value, str):
        time: datetime | None = pl.select(parsed(pl.lit(value), "datetime")).item()
        if time is not None:
            return time
    elif column_type in NUMBERS and not isinstance(value, str):
        return value
    raise StageFailure(f"column {name!r} has {rule} = {value!r}, but is {column_type}", FIX)


def _whole(name: str, pattern: str) -> str:
    """Return an expression that a whole text must match. Raises StageFailure where the pattern is wrong."""
    whole = f"^(?:{pattern})$"
    try:
        pl.Series([""]).str.contains(whole)
    except pl.exceptions.PolarsError as error:
        cause = f"column {name!r} has a pattern that is not a regular expression ({one_line(error)})"
        raise StageFailure(cause, "use the syntax of Rust's regex crate, which has no look-around") from None
    return whole
