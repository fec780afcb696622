"""Each column of a table in its type: the one that the schema declares, else the one that its values have."""

from collections.abc import Mapping

import polars as pl

from ml_pipeline.columns.polars_types import DTYPES, type_of
from ml_pipeline.columns.text import NO_RULES, TextRules
from ml_pipeline.columns.types import NUMBERS
from ml_pipeline.common.names import nearest
from ml_pipeline.data.inference import Inferred
from ml_pipeline.data.parsing import converted, plain
from ml_pipeline.data.tables import Table
from ml_pipeline.data.violations import Rule, Violation, broken
from ml_pipeline.project.data_rules import Column

_BIG = "has whole numbers beyond 64 bits, and is not excluded"


def conform(
    table: Table,
    columns: Mapping[str, Column],
    inferred: Mapping[str, Inferred] | None = None,
    rules: TextRules = NO_RULES,
    excluded: frozenset[str] = frozenset(),
    *,
    strict: bool = True,
) -> tuple[pl.LazyFrame, list[Violation]]:
    """Return the table with each column in its type, and what can't be converted.

    A Parquet column must have the declared type (whole floats are integers too); a CSV's text is converted,
    to the declared type or to the `inferred` one. A value or a column that can't be converted is a violation,
    and null in the result. Without `strict` a Parquet column may keep another type than the declared one.
    """
    dtypes = table.frame.collect_schema()
    inferred = inferred or {}
    frame = table.frame.select(plain(name, dtype, rules).alias(name) for name, dtype in dtypes.items())
    violations = [
        Violation(name, "missing_column",
                  f"column {name!r} is in the schema but not in the data ({nearest(name, table.names)})")
        for name in columns if name not in dtypes
    ]  # fmt: skip
    results: list[pl.Expr] = []
    wrong: dict[Rule, pl.Expr] = {}
    for name, dtype in dtypes.items():
        actual, declared = type_of(dtype), columns[name].type if name in columns else None
        if table.text or (declared and table.format == "JSON lines" and actual == "string"):
            found = inferred.get(name, Inferred("string"))
            if found.big and not declared and name not in excluded:
                violations.append(Violation(name, "type", f"column {name!r} {_BIG}"))
            target = declared or found.type
            if target == "string":
                continue
            if target == "empty":
                results.append(pl.lit(None, pl.Null).alias(name))
                continue
            is_plain = found.plain and found.type == target
            value, mask = converted(frame.select(name), name, target, rules, plain=is_plain)
            results.append(value.cast(DTYPES[target]).alias(name))
            if mask is not None:
                wrong[_rule(name, target)] = mask
            continue
        if actual == "integer" and name not in excluded and dtype in {pl.UInt64, pl.Int128}:
            lost = _lost(table.frame, name)
            if lost:
                violations.append(Violation(name, "type", f"column {name!r} {_BIG}"))
        if declared is None or actual == declared:
            continue
        if actual == "empty":
            results.append(pl.col(name).cast(DTYPES[declared]))
        elif {actual, declared} == NUMBERS:
            whole = pl.col(name) == pl.col(name).floor()
            value = pl.col(name) if declared == "number" else pl.when(whole).then(pl.col(name))
            wrong[_rule(name, declared)] = pl.col(name).is_not_null() & value.is_null()
            results.append(value.cast(DTYPES[declared]).alias(name))
        elif strict:
            message = f"column {name!r} has type {actual}, the schema says {declared}"
            violations.append(Violation(name, "type", message, *_present(frame, name)))
            results.append(pl.lit(None, DTYPES[declared]).alias(name))
    return frame.with_columns(results), violations + broken(frame, wrong)


def _rule(name: str, column_type: str) -> Rule:
    article = "an" if column_type[0] in "aeiou" else "a"
    return Rule(name, "type", f"that are not {article} {column_type}")


def _lost(frame: pl.LazyFrame, name: str) -> bool:
    column = pl.col(name)
    return bool(
        frame.select((column.is_not_null() & column.cast(pl.Int64, strict=False).is_null()).any())
        .collect()
        .item()
    )


def _present(frame: pl.LazyFrame, name: str) -> tuple[int, float]:
    count = int(frame.select(pl.col(name).count()).collect().item())
    return count, 1.0 if count else 0.0
