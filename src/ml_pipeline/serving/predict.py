"""Answer a whole file in the serving image: columns in, predictions out.

    python -m ml_pipeline.serving.predict --input rows.npz --output predictions.npz

Input .npz: one 1-D array a column; strings "" where missing, numbers NaN, times as seconds since 1970
in UTC. Input .csv: a header of columns, an empty field where missing. Output .npz: `predictions` [N]
and `probabilities` [N, C]; .csv: prediction, p_CLASS….
"""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.model.files import SUFFIXES, placed, read, sink
from ml_pipeline.model.loaded import load
from ml_pipeline.model.values import BadInput

PIECE = 8192  # rows that the model is given at once


def predict(model_folder: Path, source: Path, target: Path) -> dict[str, Any]:
    """Answer every row of `source` into `target`. Raises `StageFailure`, and then writes nothing."""
    for path in (source, target):
        if path.suffix.lower() not in SUFFIXES:
            raise StageFailure(f"{path} is neither .npz nor .csv", "name a file that is")
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
            raise StageFailure(f"{source} has no rows", "name a file that has some")
    seconds = time.perf_counter() - started
    print(f"{rows} rows in {seconds:.2f} s, by {model.signature.name} version {model.signature.version}")
    return {"rows": rows, "seconds": seconds, "version": model.signature.version}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the batch command on the command line's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m ml_pipeline.serving.predict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    folder = os.environ.get("ML_MODEL", "/model")
    parser.add_argument("--model", type=Path, default=folder, help=f"the model's folder ({folder})")
    parser.add_argument("--input", type=Path, required=True, help="rows, .npz or .csv")
    parser.add_argument("--output", type=Path, required=True, help="predictions, .npz or .csv")
    options = parser.parse_args(arguments)
    run_stage("predict", lambda: predict(Path(options.model), options.input, options.output))


if __name__ == "__main__":
    main()
