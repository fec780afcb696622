"""Split the data into the rows to train on and the holdout, and record the rows to train on.

    python -m ml_pipeline.data.split --config settings.json --data FOLDER --output OUT

It writes OUT/train.parquet (without the excluded columns), OUT/holdout.parquet and OUT/record.json, with
which the next run and the server compare their rows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TypedDict

import polars as pl

from ml_pipeline.columns.polars_types import types_of
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data import command_line
from ml_pipeline.data.checks import require_target, unlike, widened
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
    """Write the files. Raises StageFailure where the target or the holdout is wrong."""
    table, frame, violations = load(settings, folder, "path")
    require_target(frame, settings, violations)
    digests = {"data": table.digest}
    if isinstance(settings.holdout, str):
        holdout_table, holdout, violations = load(settings, folder, "holdout")
        require_target(holdout, settings, violations)
        types = types_of(frame)
        holdout = widened(holdout, types)
        if differences := unlike(types, types_of(holdout)):
            raise StageFailure(f"holdout: {differences[0].message}", SET_HOLDOUT)
        train, holdout = frame, holdout.select(table.names)
        digests["holdout"] = holdout_table.digest
    else:
        rows = holdout_rows(frame, settings)
        train, holdout = taken(frame, ~rows), taken(frame, rows)
    output.mkdir(parents=True, exist_ok=True)
    files = {name: output / f"{name}.parquet" for name in ("train", "holdout")}
    write(train.drop(settings.exclude), files["train"])
    write(holdout, files["holdout"])
    train, holdout = (pl.scan_parquet(file) for file in files.values())
    if settings.task == "classification":
        require_classes(train, holdout, settings.target)
    recorded = record_of(train, types_of(train))
    record.write(recorded, output / "record.json")
    holdout_count = holdout.select(pl.len()).collect().item()
    print(f"{recorded.rows} rows to train on, {holdout_count} held out")
    return {"train_rows": recorded.rows, "holdout_rows": holdout_count, "sha256": digests}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program on the command line's arguments."""
    options = command_line.parser("data.split", __doc__).parse_args(arguments)
    command_line.run("split", options, lambda settings: split(settings, options.data, options.output))


if __name__ == "__main__":
    main()
