"""Split the data into the rows to train on and the holdout, and record the rows to train on.

    python -m ml_pipeline.data.split --config settings.json --data FOLDER --output OUT

It writes OUT/train.parquet (without the columns that the model does not get), OUT/holdout.parquet,
OUT/record.json, with which the next run and the server compare their rows, and OUT/text.json, by which the
image reads texts as this stage did.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TypedDict

import polars as pl

from ml_pipeline.columns.polars_types import types_of
from ml_pipeline.columns.text import TextRules
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data import command_line
from ml_pipeline.data.checks import require_target, unlike
from ml_pipeline.data.holdout import SET_HOLDOUT, holdout_rows, require_classes, taken, write
from ml_pipeline.data.load import load
from ml_pipeline.data.recording import record_of
from ml_pipeline.data.settings import Settings
from ml_pipeline.distributions import record


class Split(TypedDict):
    """The rows of both files, and the digests of the tables that they are from."""

    train_rows: int
    holdout_rows: int
    sha256: dict[str, str]


def split(settings: Settings, folder: Path, output: Path) -> Split:
    """Write the files. Raises StageFailure if the target or the holdout is wrong."""
    loaded = load(settings, folder, "path")
    frame = _labelled(loaded.frame, settings)
    require_target(frame, settings, loaded.violations)
    digests = {"data": loaded.table.digest}
    if isinstance(settings.holdout, str):
        other = load(settings, folder, "holdout", loaded)
        holdout = _labelled(other.frame, settings)
        require_target(holdout, settings, other.violations)
        if differences := unlike(loaded.types, other.types, settings):
            raise StageFailure(f"holdout: {differences[0].message}", SET_HOLDOUT)
        train, holdout = frame, holdout.select(name for name in loaded.table.names if name in other.types)
        digests["holdout"] = other.table.digest
    else:
        rows = holdout_rows(frame, settings)
        train, holdout = taken(frame, ~rows), taken(frame, rows)
    output.mkdir(parents=True, exist_ok=True)
    files = {name: output / f"{name}.parquet" for name in ("train", "holdout")}
    unused = {*settings.exclude, settings.group}
    write(train.select(name for name in loaded.types if name not in unused), files["train"])
    write(holdout, files["holdout"])
    train, holdout = (pl.scan_parquet(file) for file in files.values())
    if settings.task == "classification":
        require_classes(train, holdout, settings.target)
    recorded = record_of(train, types_of(train))
    record.write(recorded, output / "record.json")
    (output / "text.json").write_text(_text(loaded.rules), encoding="utf-8")
    holdout_count = holdout.select(pl.len()).collect().item()
    print(f"{recorded.rows} rows to train on, {holdout_count} held out")
    return {"train_rows": recorded.rows, "holdout_rows": holdout_count, "sha256": digests}


def _labelled(frame: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    return frame.filter(pl.col(settings.target).is_not_null()) if settings.unlabelled == "drop" else frame


def _text(rules: TextRules) -> str:
    document = {"missing": rules.missing, "commas": sorted(rules.commas), "formats": dict(rules.formats)}
    return json.dumps(document, ensure_ascii=False)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program on the command line's arguments."""
    options = command_line.parser("data.split", __doc__).parse_args(arguments)
    command_line.run("split", options, lambda settings: split(settings, options.data, options.output))


if __name__ == "__main__":
    main()
