"""The schema of a table: each column in its declared kind, and every row that breaks a rule."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ml_pipeline.columns.kinds import kind_of
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data.parsing import DTYPES, parsed, plain
from ml_pipeline.data.tables import Table
from ml_pipeline.distributions.cores import columns_in_memory

EXAMPLES = 5  # rows and values that a violation shows
FIX = "fix the data or the schema under [tool.ml-pipeline.data.columns]"
_ROW, _BROKEN = "row number, from 1", "breaks the rule"  # no column of a table is named so


@dataclass(frozen=True)
class Violation:
    """One column that breaks one rule. `rows` count from 1, a CSV's header left out."""

    column: str
    rule: str
    message: str
    count: int = 0
    share: float = 0.0  # of the column's values that are there; of all rows where the rule is on missing ones
    rows: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


def conform(table: Table, columns: dict[str, dict[str, Any]]) -> tuple[pl.LazyFrame, list[Violation]]:
    """The table with each column in the type its schema says, and what can't be.

    Parquet's own types must agree with the schema (whole floats pass as integers); a CSV's text is
    parsed. A value or column that can't be converted is a violation, and is null in the result.
    """
    physical = table.frame.collect_schema()
    frame = table.frame.select(plain(name, dtype) for name, dtype in physical.items())
    converted, attempts, found = [], {}, []
    for name, spec in columns.items():
        if name not in physical:
            message = f"column {name!r} is in the schema but not in the data ({nearest(name, table.names)})"
            found.append(Violation(name, "missing_column", message))
            continue
        kind, wanted = kind_of(physical[name]), spec.get("type")
        if wanted is None or kind in {wanted, "empty"}:
            if kind == "empty" and wanted:
                converted.append(pl.col(name).cast(DTYPES[wanted]))
            continue
        if table.text and kind == "string":
            attempts[name] = (wanted, parsed(pl.col(name), wanted))
        elif {kind, wanted} == {"integer", "number"}:
            whole = pl.col(name) == pl.col(name).floor()
            value = pl.col(name) if wanted == "number" else pl.when(whole).then(pl.col(name))
            attempts[name] = (wanted, value)
        else:
            message = f"column {name!r} has type {kind}, the schema says {wanted}"
            found.append(Violation(name, "type", message, *_present(frame, name)))
            converted.append(pl.lit(None, DTYPES[wanted]).alias(name))
    masks = {
        (name, "type", f"that are not {_article(wanted)}"): pl.col(name).is_not_null() & value.is_null()
        for name, (wanted, value) in attempts.items()
    }
    found += broken(frame, masks)
    converted += [value.cast(DTYPES[wanted]).alias(name) for name, (wanted, value) in attempts.items()]
    return frame.with_columns(converted), found


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _present(frame: pl.LazyFrame, name: str) -> tuple[int, float]:
    count = int(frame.select(pl.col(name).count()).collect().item())
    return count, 1.0 if count else 0.0


def check(frame: pl.LazyFrame, columns: dict[str, dict[str, Any]]) -> list[Violation]:
    """Every rule of the schema that a row of the (conformed) table breaks."""
    schema = frame.collect_schema()
    masks: dict[tuple[str, str, str], pl.Expr] = {}
    for name, spec in columns.items():
        if name in schema:
            for rule, (said, mask) in _rules(name, spec, kind_of(schema[name])).items():
                masks[name, rule, said] = mask
    found = broken(frame, masks)
    limits = {name: spec.get("max_missing") for name, spec in columns.items() if name in schema}
    return found + _too_many_missing(frame, {name: top for name, top in limits.items() if top is not None})


def _too_many_missing(frame: pl.LazyFrame, limits: dict[str, float]) -> list[Violation]:
    if not limits:
        return []
    figures = frame.select(pl.len(), pl.col(list(limits)).is_null().sum().name.prefix("n "))
    row = figures.collect().row(0, named=True)
    found = []
    for name, limit in limits.items():
        count, share = row[f"n {name}"], row[f"n {name}"] / row["len"]
        if share > limit:
            message = f"column {name!r} has {share:.1%} missing values, above max_missing = {limit}"
            found.append(Violation(name, "max_missing", message, count, share))
    return found


def _rules(name: str, spec: dict[str, Any], kind: str) -> dict[str, tuple[str, pl.Expr]]:
    column = pl.col(name)
    low, high = _bound(name, spec, "min", kind), _bound(name, spec, "max", kind)
    if low is not None and high is not None and low > high:
        raise StageFailure(f"column {name!r} has min = {spec['min']} above max = {spec['max']}", FIX)
    rules: dict[str, tuple[str, pl.Expr]] = {}
    if low is not None:
        rules["min"] = (f"below min = {spec['min']}", column < pl.lit(low))
    if high is not None:
        rules["max"] = (f"above max = {spec['max']}", column > pl.lit(high))
    if spec.get("allowed") is not None:
        try:
            allowed = pl.Series(spec["allowed"], dtype=DTYPES.get(kind), strict=kind != "datetime")
        except (TypeError, pl.exceptions.PolarsError):
            raise StageFailure(f"column {name!r} has allowed values that are not {kind}s", FIX) from None
        rules["allowed"] = ("that are not among its allowed values", ~column.is_in(allowed.implode()))
    if spec.get("pattern") is not None:
        if kind not in {"string", "empty"}:
            raise StageFailure(f"column {name!r} has a pattern, but is {kind}, not string", FIX)
        whole = f"^(?:{spec['pattern']})$"
        try:
            pl.Series([""]).str.contains(whole)
        except pl.exceptions.PolarsError as error:
            cause = f"column {name!r} has a pattern that is no regular expression ({one_line(error)})"
            raise StageFailure(cause, "write it as Rust's regex crate takes it: no look-around") from None
        matches = column.cast(pl.String).str.contains(whole)
        rules["pattern"] = (f"that do not match {spec['pattern']!r}", ~matches)
    if spec.get("unique"):
        rules["unique"] = ("that an earlier row has", column.is_not_null() & ~column.is_first_distinct())
    if spec.get("nullable") is False:
        rules["nullable"] = ("missing, which nullable = false forbids", column.is_null())
    return rules


def _bound(name: str, spec: dict[str, Any], rule: str, kind: str) -> Any:
    value = spec.get(rule)
    if value is None or kind == "empty":
        return None
    if kind == "datetime" and isinstance(value, str):
        value = pl.select(parsed(pl.lit(value), "datetime")).item()
        if value is not None:
            return value
    elif kind in {"integer", "number"} and isinstance(value, int | float):
        return value
    raise StageFailure(f"column {name!r} has {rule} = {spec[rule]!r}, but is {kind}", FIX)


def broken(
    frame: pl.LazyFrame, masks: dict[tuple[str, str, str], pl.Expr], least_share: float = 0.0
) -> list[Violation]:
    """The (column, rule, words) whose mask is true in some row, and in at least a share of the values.

    They are counted on as many columns at a time as memory allows; one pass more for each that is broken
    fetches its first rows.
    """
    if not masks:
        return []
    figures = _counted(frame, masks)
    found = []
    for index, key in enumerate(masks):
        count = figures[f"broken {index}"]
        name, rule, said = key
        of = figures["rows"] if rule in {"nullable", "target_missing"} else figures[f"n {name}"]
        if count and count >= least_share * of:
            counted = frame.with_row_index(_ROW, offset=1)
            marked = counted.select(_ROW, name, masks[key].alias(_BROKEN))
            shown = marked.filter(_BROKEN).head(EXAMPLES).collect()
            rows = shown[_ROW].to_list()
            listed = ", ".join(map(str, rows)) + (", …" if count > len(rows) else "")
            values = "value" if count == 1 else "values"
            words = f"{count} {values} {said} ({'row' if count == 1 else 'rows'} {listed})"
            values_shown = [_jsonable(value) for value in shown[name].to_list()]
            found.append(
                Violation(name, rule, f"column {name!r} has {words}", count, count / of, rows, values_shown)
            )
    return found


def _counted(frame: pl.LazyFrame, masks: Mapping[tuple[str, str, str], pl.Expr]) -> dict[str, int]:
    """Count rows, each column's values ("n NAME") and, by its place, each mask's rows ("broken 0")."""
    figures = {"rows": frame.select(pl.len()).collect().item()}
    names = list(dict.fromkeys(name for name, _, _ in masks))
    at_once = columns_in_memory(figures["rows"])
    for start in range(0, len(names), at_once):
        some = names[start : start + at_once]
        sums = [
            mask.sum().alias(f"broken {index}")
            for index, ((name, _, _), mask) in enumerate(masks.items())
            if name in some
        ]
        values = [pl.col(name).count().alias(f"n {name}") for name in some]
        figures |= frame.select(*values, *sums).collect().row(0, named=True)
    return figures


def _jsonable(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
