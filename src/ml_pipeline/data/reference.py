"""The reference of the columns: a table of the project's, or the record in the image in production."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ml_pipeline.columns.types import NOT_FEATURES, TableType, compatible
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data import drift
from ml_pipeline.data.load import SET_REFERENCE, Loaded, load
from ml_pipeline.data.recording import whole
from ml_pipeline.data.report import DriftReport
from ml_pipeline.data.settings import Settings
from ml_pipeline.distributions import record


@dataclass(frozen=True)
class Reference:
    """How the reference's columns are read, and what the report says of it."""

    read: drift.Read
    names: list[str]  # the columns that both sides have
    rows: int
    report: DriftReport  # without a result yet


def compared(
    settings: Settings,
    folder: Path,
    baseline: Path | None,
    loaded: Loaded,
) -> DriftReport | None:
    """Compare the table's columns with the reference; None if there is none.

    A table as reference must have every column, with the same type. A record may be of another version of
    the project: columns that only one side has are listed.
    """
    frame, types = loaded.frame, loaded.types
    used = [name for name in types if name not in settings.exclude and types[name] not in NOT_FEATURES]
    if settings.reference:
        reference = _table(settings, settings.reference, folder, loaded, used)
    elif baseline:
        reference = _recorded(baseline, {name: types[name] for name in used})
    else:
        return None
    rows = max(frame.select(pl.len()).collect().item(), reference.rows)
    differences = drift.differences(
        reference.names, reference.read, lambda name: whole(frame, name, types[name]), rows
    )
    columns = drift.judge(differences, settings)
    report = reference.report
    report["columns"] = columns
    report["share"] = sum(column["drifted"] for column in columns) / len(columns) if columns else 0.0
    report["only_current"] = [name for name in used if name not in reference.names]
    return report


def _table(settings: Settings, path: str, folder: Path, training: Loaded, used: list[str]) -> Reference:
    loaded = load(settings, folder, "reference", training)
    frame, before = loaded.frame, loaded.types
    types = {name: training.types[name] for name in used}
    if loaded.violations:
        raise StageFailure(f"the reference: {loaded.violations[0].message}", SET_REFERENCE)
    for name, column_type in types.items():
        if name not in before:
            raise StageFailure(f"the reference does not have column {name!r}", SET_REFERENCE)
        if before[name] != "empty" and not compatible(before[name], column_type):
            cause = f"column {name!r} is {column_type}, but {before[name]} in the reference"
            raise StageFailure(cause, SET_REFERENCE)
    read_as = {name: types[name] if before[name] == "empty" else before[name] for name in types}
    rows = frame.select(pl.len()).collect().item()
    report: DriftReport = {
        "reference": path, "sha256": loaded.table.digest, "rows": rows,
        "only_current": [], "share": 0.0, "columns": [],
    }  # fmt: skip
    return Reference(lambda name: whole(frame, name, read_as[name]), list(types), rows, report)


def _recorded(path: Path, types: Mapping[str, TableType]) -> Reference:
    try:
        recorded = record.read(path)
    except record.RecordError as error:
        cause = f"the record of the data of the image in production can't be read: {error}"
        hint = "set reference under [tool.ml-pipeline.data] to a table"
        raise StageFailure(cause, hint) from None
    before = recorded.columns
    names = [name for name in types if name in before and compatible(before[name].type, types[name])]
    report: DriftReport = {
        "reference": "the baseline's record", "only_reference": sorted({*before} - {*types}),
        "rows": recorded.rows, "only_current": [], "share": 0.0, "columns": [],
    }  # fmt: skip
    return Reference(before.__getitem__, names, recorded.rows, report)
