"""Each column of a table in the type that the schema declares."""

from collections.abc import Mapping

import polars as pl

from ml_pipeline.columns.polars_types import DTYPES, type_of
from ml_pipeline.columns.types import NUMBERS
from ml_pipeline.common.names import nearest
from ml_pipeline.data.parsing import parsed, plain
from ml_pipeline.data.tables import Table
from ml_pipeline.data.violations import Rule, Violation, broken
from ml_pipeline.project.data_rules import Column


def conform(table: Table, columns: Mapping[str, Column]) -> tuple[pl.LazyFrame, list[Violation]]:
    """Return the table with each column in its declared type, and what can't be converted.

    A Parquet column must have the declared type (whole floats are integers too); a CSV's text is parsed.
    A value or a column that can't be converted is a violation, and null in the result.
    """
    dtypes = table.frame.collect_schema()
    frame = table.frame.select(plain(name, dtype) for name, dtype in dtypes.items())
    violations: list[Violation] = []
    converted: list[pl.Expr] = []
    attempts: dict[str, tuple[str, pl.Expr]] = {}
    for name, rules in columns.items():
        if name not in dtypes:
            message = f"column {name!r} is in the schema but not in the data ({nearest(name, table.names)})"
            violations.append(Violation(name, "missing_column", message))
            continue
        actual, declared = type_of(dtypes[name]), rules.type
        if declared is None or actual == declared:
            continue
        if actual == "empty":
            converted.append(pl.col(name).cast(DTYPES[declared]))
        elif table.text and actual == "string":
            attempts[name] = (declared, parsed(pl.col(name), declared))
        elif {actual, declared} == NUMBERS:
            whole = pl.col(name) == pl.col(name).floor()
            value = pl.col(name) if declared == "number" else pl.when(whole).then(pl.col(name))
            attempts[name] = (declared, value)
        else:
            message = f"column {name!r} has type {actual}, the schema says {declared}"
            violations.append(Violation(name, "type", message, *_present(frame, name)))
            converted.append(pl.lit(None, DTYPES[declared]).alias(name))
    masks = {
        Rule(name, "type", f"that are not {_article(declared)}"): pl.col(name).is_not_null() & value.is_null()
        for name, (declared, value) in attempts.items()
    }
    violations += broken(frame, masks)
    converted += [value.cast(DTYPES[declared]).alias(name) for name, (declared, value) in attempts.items()]
    return frame.with_columns(converted), violations


def _article(column_type: str) -> str:
    return f"an {column_type}" if column_type[0] in "aeiou" else f"a {column_type}"


def _present(frame: pl.LazyFrame, name: str) -> tuple[int, float]:
    count = int(frame.select(pl.col(name).count()).collect().item())
    return count, 1.0 if count else 0.0
