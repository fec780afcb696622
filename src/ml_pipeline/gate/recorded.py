"""Recorded requests as columns of the batch command, so that two images can answer them side by side.

    python -m ml_pipeline.gate.recorded --data FOLDER --path PATH --model-json model.json --output rows.npz

PATH is a file of JSON lines (.jsonl, .ndjson), each a body of /predict or one row of it, which are checked as
/predict checks them; or a table in Parquet or CSV with the model's columns. Other columns of the table, such
as a time or the target, are ignored.
"""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NoReturn, cast

import polars as pl

from ml_pipeline.columns.text import TextRules
from ml_pipeline.columns.types import ColumnType
from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.data.conform import conform
from ml_pipeline.data.paths import shown
from ml_pipeline.data.tables import Table, open_table
from ml_pipeline.gate import batches
from ml_pipeline.gate.arrays import Array
from ml_pipeline.model.signature import Column, ColumnDocument, column_of, read_signature
from ml_pipeline.model.values import BadInput, from_rows, require
from ml_pipeline.project.data_rules import Column as Rules

LINES = frozenset({".jsonl", ".ndjson"})
SET_REQUESTS = "set requests under [tool.ml-pipeline.data] to JSON lines, Parquet or CSV in the source"
REMOVE = "remove the row, or train a model that accepts it"


def prepare(folder: Path, path: str, model_json: Path, output: Path) -> dict[str, object]:
    """Write one array [N] a column of the model. Raises `StageFailure`."""
    columns = read_signature(model_json).document()["columns"]
    read = _read_lines if PurePosixPath(path).suffix.lower() in LINES else _read_table
    arrays = read(folder, path, columns)
    output.parent.mkdir(parents=True, exist_ok=True)
    batches.write_npz(output, arrays)
    rows = len(next(iter(arrays.values())))
    print(f"{rows:,} recorded requests, {len(arrays)} columns")
    return {"rows": rows, "columns": len(arrays)}


def _read_lines(folder: Path, path: str, columns: Sequence[ColumnDocument]) -> dict[str, Array]:
    file, name = folder / path, shown(PurePosixPath(path))
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StageFailure(f"{name!r} can't be read: {error}", SET_REQUESTS) from None
    rows: list[object] = []
    lines: list[int] = []  # of each row, the number of its line
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            requests = _rows(line, f"{name} line {number}")
            rows += requests
            lines += [number] * len(requests)
    if not rows:
        raise StageFailure(f"{name!r} has no requests", SET_REQUESTS)
    try:
        return from_rows(rows, _signature(columns))
    except BadInput as error:
        at = f" line {lines[error.row]}" if error.row is not None else ""
        reason = str(error).partition(f"instances[{error.row}]")[2].lstrip(".: ") or str(error)
        raise StageFailure(f"{name}{at}: {reason}", REMOVE) from None


def _rows(line: str, place: str) -> list[object]:
    """Return the rows of a body of /predict, or the line's one row."""
    try:
        request = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise StageFailure(f"{place} is not JSON: {error}", REMOVE) from None
    if isinstance(request, dict) and isinstance(request.get("instances"), list):
        return list(request["instances"])
    return [request]


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number in JSON")


def _read_table(folder: Path, path: str, columns: Sequence[ColumnDocument]) -> dict[str, Array]:
    named = f"{shown(PurePosixPath(path))!r}"
    frame = _typed(open_table(folder, path, hint=SET_REQUESTS), columns, named)
    arrays = batches.features(frame, columns, named)
    try:
        require(_signature(columns), arrays)
    except BadInput as error:
        cause = f"{shown(PurePosixPath(path))!r} has no {error.column!r} in row {(error.row or 0) + 1}"
        raise StageFailure(f"{cause}, where the model needs {error.expected}", REMOVE) from None
    return arrays


def _typed(table: Table, columns: Sequence[ColumnDocument], shown: str) -> pl.DataFrame:
    """Return a table with the model's columns in their types, read by the rules of the training data."""
    own = {column.name: column for column in _signature(columns) if column.name in table.names}
    missing = next((column.missing for column in own.values()), ())
    commas = frozenset(name for name, column in own.items() if column.decimal == ",")
    rules = TextRules(missing, commas, {name: column.format for name, column in own.items() if column.format})
    schema = {name: Rules(type=cast("ColumnType", column.type)) for name, column in own.items()}
    frame, violations = conform(table, schema, {}, rules, strict=False)
    if violations:
        raise StageFailure(f"{shown}: {violations[0].message}", REMOVE)
    return frame.select(list(own)).collect()


def _signature(columns: Sequence[ColumnDocument]) -> list[Column]:
    return [column_of(column) for column in columns]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Prepare the requests that the arguments name."""
    parser = command_line.parser("gate.recorded", __doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the recorded requests")
    parser.add_argument("--path", required=True, help="path of the JSON lines, Parquet or CSV in that folder")
    parser.add_argument("--model-json", type=Path, required=True, help="model.json of the candidate")
    parser.add_argument("--output", type=Path, required=True, help="the .npz file to write")
    options = parser.parse_args(arguments)
    run_stage(
        "prepare-requests", lambda: prepare(options.data, options.path, options.model_json, options.output)
    )


if __name__ == "__main__":
    main()
