"""Predict all rows of a file; this is the batch command of the serving image.

    python -m ml_pipeline.serving.predict --input rows.npz --output predictions.npz

Input .npz: one 1-D array for each column; a missing string is "", a missing number NaN, and times are seconds
since 1970 in UTC. Input .csv: a header with the columns' names; a missing value is an empty field. Other
columns are ignored. Output .npz: `predictions` [N] and, if the model gives them, `probabilities` [N, C];
output .csv: `prediction` and p_CLASS for each class.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TypedDict

from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.model.files import SUFFIXES, placed, read, sink
from ml_pipeline.model.loaded import load
from ml_pipeline.model.values import BadInput
from ml_pipeline.serving.contract import MODEL

PIECE = 8192  # rows in one run of the model


class Details(TypedDict):
    """The outcome's details."""

    rows: int
    seconds: float
    version: str


def predict(model_folder: Path, source: Path, target: Path) -> Details:
    """Write the predictions for every row of `source` to `target`.

    Raises `StageFailure`, and then writes nothing.
    """
    for path in (source, target):
        if path.suffix.lower() not in SUFFIXES:
            raise StageFailure(f"{path} is neither .npz nor .csv", "name a file of one of these types")
    if not source.is_file():
        raise StageFailure(f"{source} does not exist", "name the file of rows by --input")
    model = load(model_folder)
    started, rows = time.perf_counter(), 0
    with sink(target, model.signature.classes) as out:
        try:
            for arrays in read(source, model.columns, PIECE):
                answer = model.predict(arrays)
                out.add(answer)
                rows += len(answer.predictions)
        except BadInput as error:
            raise StageFailure(f"{source} {placed(error, rows)}", "fix the file") from None
        if not rows:
            raise StageFailure(f"{source} has no rows", "name a file with rows")
    seconds = time.perf_counter() - started
    print(f"{rows} rows in {seconds:.2f} s, by {model.signature.name} version {model.signature.version}")
    return Details(rows=rows, seconds=seconds, version=model.signature.version)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the batch command with the command line's arguments, and end the process."""
    parser = command_line.parser("serving.predict", __doc__)
    folder = os.environ.get("ML_MODEL", MODEL)
    model_help = f"the folder with the model; default: the variable ML_MODEL, else {MODEL}"
    parser.add_argument("--model", type=Path, default=Path(folder), help=model_help)
    parser.add_argument("--input", type=Path, required=True, help="the file of rows, .npz or .csv")
    parser.add_argument("--output", type=Path, required=True, help="the file to write, .npz or .csv")
    options = parser.parse_args(arguments)
    run_stage("predict", lambda: {**predict(options.model, options.input, options.output)})


if __name__ == "__main__":
    main()
