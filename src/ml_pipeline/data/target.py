"""The target: its classes, and what makes it impossible to train on."""

from collections.abc import Iterable, Mapping

import polars as pl

from ml_pipeline.columns.polars_types import types_of
from ml_pipeline.columns.types import NUMBERS
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.violations import Rule, Violation, broken
from ml_pipeline.project.data_rules import Scalar

SET_TARGET = "set target under [tool.ml-pipeline.data]"
_LABEL = "\x1flabel"  # no column has a control character in its name
NOT_CLASSES = frozenset({"datetime", "other"})  # types that can't be classes


def require_columns(settings: Settings, names: tuple[str, ...], *, only_used: bool = False) -> None:
    """Raise StageFailure if a column that the settings name by role is not in the data.

    With `only_used`, excluded columns may be absent.
    """
    roles = [("target", settings.target)]
    roles += [("time", settings.time)] if settings.time else []
    if not only_used:
        roles += [("group", settings.group)] if settings.group else []
        roles += [("exclude", name) for name in settings.exclude]
    for role, name in roles:
        if name not in names:
            hint = SET_TARGET if role == "target" else f"change {role} under [tool.ml-pipeline.data]"
            raise StageFailure(f"{role} column {name!r} is not in the data ({nearest(name, names)})", hint)
    if settings.target in settings.exclude:
        raise StageFailure(f"column {settings.target!r} is the target and excluded", "remove it from exclude")


def classes(frame: pl.LazyFrame, target: str) -> dict[Scalar, int]:
    """Count the rows of each class, in the order of the classes; missing values are left out."""
    labels = frame.select(pl.col(target).alias(_LABEL)).filter(pl.col(_LABEL).is_not_null())
    counted = labels.group_by(_LABEL).len().sort(_LABEL).collect()
    return dict(counted.iter_rows())


def check_target(frame: pl.LazyFrame, settings: Settings) -> list[Violation]:
    """Return what makes it impossible to train on the (conformed) table's target."""
    target, column_type = settings.target, types_of(frame)[settings.target]
    missing = Rule(target, "target_missing", "missing, and it is the target")
    masks = {} if settings.unlabelled == "drop" else {missing: pl.col(target).is_null()}
    violations = broken(frame, masks)
    if settings.task == "regression":
        if column_type not in NUMBERS:
            message = f"target {target!r} is {column_type}, and regression needs a number"
            return [Violation(target, "target_type", message), *violations]
        return _constant(frame, target) + violations + _infinite(frame, target)
    if column_type in NOT_CLASSES:
        message = f"target {target!r} is {column_type}, which can't be a class"
        return [Violation(target, "target_type", message), *violations]
    return _check_classes(classes(frame, target), settings) + violations


def _constant(frame: pl.LazyFrame, target: str) -> list[Violation]:
    distinct = frame.select(pl.col(target).drop_nulls().n_unique()).collect().item()
    if distinct > 1:
        return []
    values = "1 value" if distinct else "no values"
    return [Violation(target, "target_constant", f"target {target!r} has {values}: nothing to learn")]


def _infinite(frame: pl.LazyFrame, target: str) -> list[Violation]:
    is_infinite = pl.col(target).cast(pl.Float64).is_infinite()
    return broken(frame, {Rule(target, "target_infinite", "that are infinite"): is_infinite})


def _check_classes(counts: Mapping[Scalar, int], settings: Settings) -> list[Violation]:
    target, positive = settings.target, settings.positive
    if len(counts) < 2:
        message = f"target {target!r} has {f'one class ({_listed(counts)})' if counts else 'no values'}"
        return [Violation(target, "target_classes", message)]
    rows = sum(counts.values())
    if len(counts) > max(20, rows // 2):
        message = f"target {target!r} has {len(counts)} classes in {rows} rows, which looks like regression"
        return [Violation(target, "target_classes", message)]
    if positive is not None and not any(same(positive, name) for name in counts):
        message = f"positive = {positive!r} is not a class of {target!r} ({_listed(counts)})"
        return [Violation(target, "positive", message)]
    if positive is not None and len(counts) > 2:
        message = f"positive is for two classes, and target {target!r} has {len(counts)} ({_listed(counts)})"
        return [Violation(target, "positive", message)]
    return []


def same(first: object, second: object) -> bool:
    """Return whether two values are equal, without Python's `True == 1`."""
    return bool(first == second) and isinstance(first, bool) == isinstance(second, bool)


def _listed(values: Iterable[object]) -> str:
    shown = [repr(value) for value in values]
    return ", ".join(shown[:6]) + (", …" if len(shown) > 6 else "")
