"""Train: the project's own command, or the built-in trainer for tabular data.

    ML_DATA=train.parquet ML_OUTPUT=out python -m ml_pipeline.training.train --config settings.json
    … --command "python -m mymodel.train" --workdir PROJECT

Variables: ML_DATA, the Parquet file of training rows; ML_OUTPUT, the folder to write to. These
have defaults: ML_CONFIG, a JSON file (`config` in the settings), ML_SEED and ML_DEVICE (`seed` and
`device` in the settings), ML_CHECKPOINTS (a temporary folder). A command is given all six. It
writes model.onnx, or predictor.py, or metrics.json alone where nothing is to be served. Where the
settings have a `search`, all of this is done for each of its trials, and the best one's files are kept.

Where there are several GPUs, the built-in trainer trains on all of them, in a process for each. On
several machines, each runs this program with --nodes; a command is then started by torchrun, once for
each GPU (once on a machine without), with RANK, WORLD_SIZE, MASTER_ADDR and the like.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_pipeline.common.outcome import run_stage
from ml_pipeline.training import built_in, contract, launch, search
from ml_pipeline.training.command import run_command


def train(
    settings: dict[str, Any],
    command: str | None,
    workdir: Path,
    gpu_required: bool,
    processes: int | None,
    nodes: launch.Nodes | None,
    scratch: Path,
) -> dict[str, Any]:
    """Train into ML_OUTPUT; return what came of it. Raises `StageFailure`."""
    variables = contract.variables(settings, scratch)
    output = Path(variables["ML_OUTPUT"])
    variables["ML_DEVICE"] = device = contract.choose_device(variables["ML_DEVICE"], gpu_required)
    if settings.get("search"):
        arguments = ["--command", command, "--workdir", str(workdir)] if command else []
        details = search.run(search.Search(**settings["search"]), settings, arguments, variables)
        return details | {"wrote": contract.check_output(output)}
    details = {"device": device, "trainer": "command" if command else "built-in"}
    gpus = contract.gpus() if device == "cuda" else []
    if gpus:
        details["gpus"] = gpus
    if processes is None:
        processes = len(gpus) if gpus and (nodes or not command) else 1
    if nodes or processes > 1:
        details["processes"] = processes * (nodes.count if nodes else 1)
        job = launch.Job(settings, command, str(workdir.absolute()), variables)
        found = launch.run(job, processes, nodes, scratch)
        if found is None:
            return details | {"elsewhere": True}  # another node has the model
        details |= found
    elif command:
        run_command(command, workdir, variables, settings.get("timeout"))
    else:
        details |= built_in.train(settings, variables)
    return details | {"wrote": contract.check_output(output)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the training stage on the command line's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m ml_pipeline.training.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, help="the train stage's settings, JSON")
    parser.add_argument("--command", help="what trains instead of the built-in trainer; run by sh")
    parser.add_argument("--workdir", type=Path, default=Path(), help="the project's folder (this one)")
    parser.add_argument("--gpu", choices=("auto", "required"), default="auto", help="required: fail without")
    parser.add_argument(
        "--processes", type=int, help="that train together on this machine (one for each GPU, or one)"
    )
    together = parser.add_argument_group("several machines, each of which runs this")
    together.add_argument("--nodes", type=int, help="how many machines train together")
    together.add_argument("--rendezvous", metavar="HOST:PORT", help="where they meet: the first one's")
    together.add_argument("--run", help="a name of this training, the same on all")
    together.add_argument("--address", help="of this machine, where the others reach it")
    options = parser.parse_args(arguments)
    nodes = None
    if options.nodes is not None:
        nodes = launch.Nodes(options.nodes, options.rendezvous, options.run, options.address)

    def body() -> dict[str, Any]:
        settings = json.loads(options.config.read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as scratch:
            return train(
                settings,
                options.command,
                options.workdir,
                options.gpu == "required",
                options.processes,
                nodes,
                Path(scratch),
            )

    run_stage("train", body)


if __name__ == "__main__":
    main()
