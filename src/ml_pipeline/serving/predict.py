"""Predict all rows of a file; this is the batch command of the serving image.

    python -m ml_pipeline.serving.predict --input rows.npz --output predictions.npz

Input .npz: one 1-D array for each column; a missing string is "", a missing number NaN, and times are seconds
since 1970 in UTC. Input .csv: a header with the columns' names; a missing value is an empty field. Other
columns are ignored. Output .npz: `predictions` [N] and, if the model gives them, `probabilities` [N, C];
output .csv: `prediction` and p_CLASS for each class.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TypedDict

from ml_pipeline.columns.values import Array
from ml_pipeline.common import command_line
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.model.files import SUFFIXES, placed, read, sink
from ml_pipeline.model.loaded import Answer, Model, load
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
                answer = _answered(model, arrays, rows, source)
                out.add(answer)
                rows += len(answer.predictions)
        except BadInput as error:
            raise StageFailure(f"{source} {placed(error, rows)}", "fix the file") from None
        if not rows:
            raise StageFailure(f"{source} has no rows", "name a file with rows")
    seconds = time.perf_counter() - started
    print(f"{rows} rows in {seconds:.2f} s, by {model.signature.name} version {model.signature.version}")
    return Details(rows=rows, seconds=seconds, version=model.signature.version)


def _answered(model: Model, arrays: Mapping[str, Array], before: int, source: Path) -> Answer:
    """Answer a piece of the file, which follows `before` rows. Raises `StageFailure` with its bad row."""
    inputs = model.rows(arrays)
    try:
        return model.answer(inputs)
    except StageFailure:
        raise
    except Exception as error:  # ONNX Runtime's errors and a predictor's own have no other common class
        row = before + _first_failing(model, arrays) + 1
        cause = f"the model fails on {source} row {row} ({type(error).__name__}: {one_line(error)})"
        raise StageFailure(cause, "remove the row, or train a model that accepts it") from error


def _first_failing(model: Model, arrays: Mapping[str, Array]) -> int:
    """Return the first row, from 0, without which the rows before it are answered."""
    good, bad = 0, len(next(iter(arrays.values())))
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            model.predict({name: array[:middle] for name, array in arrays.items()})
            good = middle
        except Exception:  # noqa: BLE001  # however it fails
            bad = middle
    return bad - 1


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
