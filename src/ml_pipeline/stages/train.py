"""Train: the project's own command, or the built-in trainer for tabular data.

    ML_DATA=train.parquet ML_OUTPUT=out python -m ml_pipeline.stages.train --config settings.json
    … --command "python -m mymodel.train" --workdir PROJECT

Variables: ML_DATA, the Parquet file of training rows; ML_OUTPUT, the folder to write to. These
have defaults: ML_CONFIG, a JSON file (`config` in the settings), ML_SEED and ML_DEVICE (`seed` and
`device` in the settings), ML_CHECKPOINTS (a temporary folder). A command is given all six. It
writes model.onnx, or predictor.py, or metrics.json alone where nothing is to be served. Where the
settings have a `search`, all of this is done for each of its trials, and the best one's files are kept.
"""

import argparse
import importlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_pipeline.stages.outcome import StageFailure, run_stage
from ml_pipeline.stages.training import contract, search
from ml_pipeline.stages.training.command import run_command


def train(
    settings: dict[str, Any], command: str | None, workdir: Path, gpu_required: bool, scratch: Path
) -> dict[str, Any]:
    """Train into ML_OUTPUT; return what came of it. Raises `StageFailure`."""
    variables = contract.variables(settings, scratch)
    output = Path(variables["ML_OUTPUT"])
    variables["ML_DEVICE"] = device = contract.choose_device(variables["ML_DEVICE"], gpu_required)
    if settings.get("search"):
        arguments = ["--command", command, "--workdir", str(workdir)] if command else []
        details = search.run(search.Search(**settings["search"]), settings, arguments, variables)
        return details | {"wrote": contract.check_output(output)}
    if command:
        run_command(command, workdir, variables, settings.get("timeout"))
        details = {"trainer": "command"}
    else:
        details = {"trainer": "built-in", **_built_in(settings, variables)}
    return {"device": device, "wrote": contract.check_output(output)} | details


def _built_in(settings: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
    # Threads that wait by spinning make training several times slower where processors are shared.
    # OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Imported here: where the project's own command trains, torch and polars need not be installed.
    trainer = importlib.import_module("ml_pipeline.stages.tabular.fit")
    try:
        config = json.loads(Path(variables["ML_CONFIG"]).read_text(encoding="utf-8"))
        seed = int(variables["ML_SEED"])
    except (OSError, ValueError) as error:
        raise StageFailure(
            f"ML_CONFIG or ML_SEED can't be read: {error}", "name a JSON file and a whole number"
        ) from None
    try:
        details: dict[str, Any] = trainer.train_file(
            Path(variables["ML_DATA"]),
            settings,
            config,
            Path(variables["ML_OUTPUT"]),
            trainer.Place(seed, variables["ML_DEVICE"], Path(variables["ML_CHECKPOINTS"])),
        )
    except (MemoryError, RuntimeError) as error:
        if trainer.out_of_memory(error):
            cause = f"training ran out of memory on {variables['ML_DEVICE']}"
            raise StageFailure(
                cause, "lower train.config.batch_size, or give the engine more memory"
            ) from error
        raise
    return details


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the training stage on the command line's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m ml_pipeline.stages.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, help="the train stage's settings, JSON")
    parser.add_argument("--command", help="what trains instead of the built-in trainer; run by sh")
    parser.add_argument("--workdir", type=Path, default=Path(), help="the project's folder (this one)")
    parser.add_argument("--gpu", choices=("auto", "required"), default="auto", help="required: fail without")
    options = parser.parse_args(arguments)

    def body() -> dict[str, Any]:
        settings = json.loads(options.config.read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as scratch:
            return train(settings, options.command, options.workdir, options.gpu == "required", Path(scratch))

    run_stage("train", body)


if __name__ == "__main__":
    main()
