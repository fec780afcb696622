"""What `validate` and `split` check alike, of the table and of a holdout that is a table of its own."""

from collections.abc import Mapping, Sequence

import polars as pl

from ml_pipeline.columns.polars_types import types_of
from ml_pipeline.columns.types import TableType
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data.schema import check
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.target import check_target
from ml_pipeline.data.violations import FIX, Violation


def check_table(frame: pl.LazyFrame, settings: Settings) -> list[Violation]:
    """Return every rule that the (conformed) table breaks: types, target, schema."""
    schema, types = frame.collect_schema(), types_of(frame)
    other = [
        Violation(
            name, "type", f"column {name!r} is {schema[name]}, which no model takes, and is not excluded"
        )
        for name in settings.features(types)
        if types[name] == "other"
    ]
    return other + check_target(frame, settings) + check(frame, settings.columns)


def require_target(frame: pl.LazyFrame, settings: Settings, violations: Sequence[Violation]) -> None:
    """Raise StageFailure if the table can't be split. Other columns are for `validate` to judge."""
    needed = {settings.target, settings.time}
    wrong = [violation for violation in violations if violation.column in needed]
    wrong = wrong or check_target(frame, settings)
    if wrong:
        raise StageFailure(wrong[0].message, FIX)


def unlike(
    types: Mapping[str, TableType], holdout: Mapping[str, TableType], settings: Settings
) -> list[Violation]:
    """Return the training data's columns that the holdout does not have, or has with another type.

    Those that the model does not get may be absent or different.
    """
    used = {settings.target, settings.time, *settings.features(types)}
    violations = []
    for name, column_type in types.items():
        if name not in used:
            continue
        if name not in holdout:
            message = f"column {name!r} does not exist ({nearest(name, holdout)})"
            violations.append(Violation(name, "missing_column", message))
        elif holdout[name] != column_type and "empty" not in {holdout[name], column_type}:
            message = f"column {name!r} has type {holdout[name]}, and {column_type} in the training data"
            violations.append(Violation(name, "type", message))
    return violations
