"""What the data stage knows of the target: its classes, and what makes it untrainable."""

from collections.abc import Iterable
from typing import Any

import polars as pl

from ml_pipeline.columns.kinds import kind_of
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data.schema import Violation, broken

SET_TARGET = "set target under [tool.ml-pipeline.data]"


def require_columns(settings: dict[str, Any], names: tuple[str, ...]) -> None:
    """Fail when a column that the settings name by role is not in the data."""
    roles = [("target", settings["target"])]
    roles += [("time", settings["time"])] if settings.get("time") else []
    roles += [("exclude", name) for name in settings.get("exclude") or []]
    for role, name in roles:
        if name not in names:
            hint = SET_TARGET if role == "target" else f"change {role} under [tool.ml-pipeline.data]"
            raise StageFailure(f"{role} column {name!r} is not in the data ({nearest(name, names)})", hint)
    clash = settings["target"]
    if clash in (settings.get("exclude") or []):
        raise StageFailure(f"column {clash!r} is the target and excluded", "take it out of exclude")


def classes(frame: pl.LazyFrame, target: str) -> dict[Any, int]:
    """Each class and its number of rows, in the order of the classes; missing values left out."""
    counted = frame.filter(pl.col(target).is_not_null()).group_by(target).len().sort(target).collect()
    return dict(counted.iter_rows())


def check_target(frame: pl.LazyFrame, settings: dict[str, Any]) -> list[Violation]:
    """What about the target forbids training on the (conformed) table."""
    target, kind = settings["target"], kind_of(frame.collect_schema()[settings["target"]])
    missing = {(target, "target_missing", "missing, and it is the target"): pl.col(target).is_null()}
    found = broken(frame, missing)
    if settings["task"] == "regression":
        if kind not in {"integer", "number"}:
            message = f"target {target!r} is {kind}, and regression needs a number"
            return [Violation(target, "target_type", message), *found]
        is_infinite = pl.col(target).cast(pl.Float64).is_infinite()
        distinct = frame.select(pl.col(target).drop_nulls().n_unique()).collect().item()
        constant = (
            f"target {target!r} has {distinct or 'no'} value{'' if distinct else 's'}: nothing to learn"
        )
        return [
            *([Violation(target, "target_constant", constant)] if distinct < 2 else []),
            *found,
            *broken(frame, {(target, "target_infinite", "that are infinite"): is_infinite}),
        ]
    if kind in {"datetime", "other"}:
        message = f"target {target!r} is {kind}, which can't be a class"
        return [Violation(target, "target_type", message), *found]
    return _check_classes(classes(frame, target), settings) + found


def _check_classes(counts: dict[Any, int], settings: dict[str, Any]) -> list[Violation]:
    target, positive = settings["target"], settings.get("positive")
    if len(counts) < 2:
        said = f"one class ({_listed(counts)})" if counts else "no values"
        message = f"target {target!r} has {said}"
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


def same(first: Any, second: Any) -> bool:
    """Equal, without Python's `True == 1`."""
    return bool(first == second) and isinstance(first, bool) == isinstance(second, bool)


def _listed(values: Iterable[Any]) -> str:
    shown = [repr(value) for value in values]
    return ", ".join(shown[:6]) + (", …" if len(shown) > 6 else "")
