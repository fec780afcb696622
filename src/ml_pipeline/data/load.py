"""Open a table that the project names, each column in its type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import polars as pl

from ml_pipeline.columns.polars_types import types_of
from ml_pipeline.columns.text import TextRules
from ml_pipeline.columns.types import NOT_FEATURES, ColumnType, TableType
from ml_pipeline.data.conform import conform
from ml_pipeline.data.files import Reading
from ml_pipeline.data.holdout import SET_HOLDOUT
from ml_pipeline.data.inference import Inferred, infer
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.tables import SET_PATH, Table, open_table, parsed_once
from ml_pipeline.data.target import require_columns
from ml_pipeline.data.violations import Rule, Violation, broken
from ml_pipeline.project.data_rules import Column

_INFINITE = "that are infinite: they count as missing, because JSON has no infinity"
SET_REFERENCE = "set reference under [tool.ml-pipeline.data] to a table with the columns of path"
HINTS = {"path": SET_PATH, "holdout": SET_HOLDOUT, "reference": SET_REFERENCE}


@dataclass(frozen=True)
class Loaded:
    """A table in its types, what of it can't be converted, and how its texts were read."""

    table: Table
    frame: pl.LazyFrame
    violations: list[Violation]
    rules: TextRules
    notes: list[Violation]  # what was changed on the way, and stops nothing

    @property
    def types(self) -> dict[str, TableType]:
        """The type of each column."""
        return types_of(self.frame)


def load(
    settings: Settings,
    folder: Path,
    key: Literal["path", "holdout", "reference"],
    training: Loaded | None = None,
) -> Loaded:
    """Open the table that a key of the settings names, and conform it. Raises StageFailure.

    Other tables are read with the types of the `training` data.
    """
    reading = Reading(settings.separator, settings.encoding)
    table = open_table(folder, str(getattr(settings, key)), reading, HINTS[key])
    if key != "reference":
        nameless = ("",) if table.left_out else ()  # which may be excluded, too
        require_columns(settings, (*table.names, *nameless), only_used=key == "holdout")
    columns = {
        name: rules for name, rules in settings.columns.items() if key == "path" or name in table.names
    }
    if training:
        columns |= _as_in(training, settings, columns, table.names, whole=key == "holdout")
    rules = settings.text_rules(training.rules.commas if training else frozenset())
    inferred: Mapping[str, Inferred] = {}
    if table.text:
        table = replace(table, frame=_without(table.frame, rules))
        unknown = [name for name in table.names if name not in columns or not columns[name].type]
        inferred = infer(table.frame.select(unknown), table.separator, settings.decimal)
        if not training:
            commas = {name for name, found in inferred.items() if found.comma}
            rules = replace(rules, commas=rules.commas | commas)
        time = settings.time
        if time in inferred and inferred[time].type == "string":  # the values say what is wrong with them
            columns[time] = replace(columns.get(time, Column()), type="datetime")
    frame, violations = conform(
        table, columns, inferred, rules, excluded=frozenset(settings.exclude), strict=not training
    )
    if table.text:
        frame = parsed_once(frame, in_memory=table.is_small)
    frame, notes = _without_infinities(frame, settings)
    return Loaded(table, frame, violations, rules, notes)


def _without_infinities(frame: pl.LazyFrame, settings: Settings) -> tuple[pl.LazyFrame, list[Violation]]:
    """Return the table with infinite features as missing ones: a request in JSON can't have them."""
    types = types_of(frame)
    names = [name for name in settings.features(types) if types[name] == "number"]
    masks = {Rule(name, "infinite", _INFINITE): pl.col(name).is_infinite() for name in names}
    notes = broken(frame, masks)
    changed = [pl.col(note.column) for note in notes]
    return frame.with_columns(pl.when(column.is_finite()).then(column) for column in changed), notes


def _as_in(
    training: Loaded,
    settings: Settings,
    columns: Mapping[str, Column],
    names: Sequence[str],
    *,
    whole: bool,
) -> dict[str, Column]:
    """Return the used columns with the training data's types. Not `whole`: integers are numbers."""
    typed = {}
    for name, found in training.types.items():
        own = columns.get(name, Column())
        if name in names and name not in settings.exclude and found not in NOT_FEATURES and not own.type:
            column_type = "number" if found == "integer" and not whole else found
            typed[name] = replace(own, type=cast("ColumnType", column_type))
    return typed


def _without(frame: pl.LazyFrame, rules: TextRules) -> pl.LazyFrame:
    """Return a table of text without the texts that the project counts as missing."""
    if not rules.texts:
        return frame
    column = pl.all()
    return frame.with_columns(pl.when(~column.str.strip_chars().is_in(sorted(rules.texts))).then(column))
