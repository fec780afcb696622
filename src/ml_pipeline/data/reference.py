"""What the columns are compared with: a table of the project's, or what the image in production recorded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from ml_pipeline.columns.polars_types import types_of
from ml_pipeline.columns.types import compatible
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data import drift
from ml_pipeline.data.load import SET_REFERENCE, load
from ml_pipeline.data.recording import whole
from ml_pipeline.distributions import record


def compared(
    settings: Mapping[str, Any],
    folder: Path,
    baseline: Path | None,
    frame: pl.LazyFrame,
    kinds: Mapping[str, str],
) -> dict[str, Any] | None:
    """Compare the table's columns with the reference; None where there is none.

    Of a table as reference, every column must be there and of the same kind. A record is of another
    version of the project: columns that only one side has are listed.
    """
    unused = set(settings.get("exclude") or [])
    names = [name for name, kind in kinds.items() if name not in unused and kind not in {"other", "empty"}]
    rows = frame.select(pl.len()).collect().item()
    if settings.get("reference"):
        table, before, violations = load(settings, folder, "reference")
        if violations:
            raise StageFailure(f"the reference: {violations[0].message}", SET_REFERENCE)
        held = types_of(before)
        for name in names:
            if name not in held:
                raise StageFailure(f"the reference lacks column {name!r}", SET_REFERENCE)
            if held[name] != "empty" and not compatible(held[name], kinds[name]):
                cause = f"column {name!r} is {kinds[name]}, in the reference {held[name]}"
                raise StageFailure(cause, SET_REFERENCE)
        kept = names
        reference_rows = before.select(pl.len()).collect().item()
        origin = {"reference": settings["reference"], "sha256": table.digest}

        def read(name: str) -> record.Column | None:
            return whole(before, name, kinds[name] if held[name] == "empty" else held[name])
    elif baseline:
        recorded = _read(baseline)
        reference_rows = recorded.rows
        kept = [
            name
            for name in names
            if name in recorded.columns and compatible(recorded.columns[name].type, kinds[name])
        ]
        origin = {
            "reference": "the baseline's record",
            "only_reference": sorted({*recorded.columns} - {*names}),
        }

        def read(name: str) -> record.Column | None:
            return recorded.columns[name]

    else:
        return None
    found = drift.differences(
        kept, read, lambda name: whole(frame, name, kinds[name]), max(rows, reference_rows)
    )
    columns = drift.judge(found, settings["drift"], settings.get("columns") or {})
    for column in columns:
        column["target"] = column["name"] == settings["target"]
    only = [name for name in names if name not in kept]
    share = sum(column["drifted"] for column in columns) / len(columns) if columns else 0.0
    return {**origin, "rows": reference_rows, "only_current": only, "share": share, "columns": columns}


def _read(path: Path) -> record.Record:
    try:
        return record.read(path)
    except record.RecordError as error:
        cause = f"the record of the data of the image in production can't be read: {error}"
        raise StageFailure(cause, SET_REFERENCE) from None
