"""Train a model: with the project's own command, or with the built-in trainer for tabular data.

    ML_DATA=train.parquet ML_OUTPUT=out python -m ml_pipeline.training.train --config settings.json
    … --command "python -m mymodel.train" --workdir PROJECT

Environment variables:
    ML_DATA         the Parquet file of the training rows (required)
    ML_OUTPUT       the folder to write into (required)
    ML_CONFIG       a JSON file with the trainer's options; default: `config` in the settings
    ML_SEED         the seed; default: `seed` in the settings
    ML_DEVICE       cpu or cuda; default: `device` in the settings
    ML_CHECKPOINTS  a folder for checkpoints; default: a temporary folder

A command gets all six. It must write model.onnx, predictor.py or metrics.json (metrics.json alone if
nothing is to be served). If the settings have a `search`, all of this is done for each of its trials, and
the files of the best trial are kept.

On a machine with several GPUs, the built-in trainer trains on all of them, with one process for each. To
train on several machines, run this program on each of them with --nodes. A command is then started by
torchrun, once for each GPU (or once on a machine without a GPU), with RANK, WORLD_SIZE, MASTER_ADDR and
torchrun's other variables.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import run_stage
from ml_pipeline.common.reading import read_settings
from ml_pipeline.training import built_in, contract, launch, search
from ml_pipeline.training.command import run_command
from ml_pipeline.training.details import Details
from ml_pipeline.training.settings import Settings


def train(
    settings: Settings,
    command: str | None,
    workdir: Path,
    gpu_required: bool,
    processes: int | None,
    nodes: launch.Nodes | None,
    scratch: Path,
) -> Details:
    """Train into ML_OUTPUT; return the details. Raises StageFailure."""
    variables = contract.variables(settings, scratch)
    output = Path(variables["ML_OUTPUT"])
    variables["ML_DEVICE"] = device = contract.choose_device(variables["ML_DEVICE"], gpu_required)
    if settings.search:
        details = search.run(settings.search, settings, command, workdir, variables)
        return {**details, "wrote": contract.check_output(output)}
    details = {"device": device, "trainer": "command" if command else "built-in"}
    gpus = contract.gpus() if device == "cuda" else []
    if gpus:
        details["gpus"] = gpus
    if processes is None:
        processes = len(gpus) if gpus and (nodes or not command) else 1
    if nodes or processes > 1:
        details["processes"] = processes * (nodes.count if nodes else 1)
        job = launch.Job(settings, command, str(workdir.absolute()), variables)
        trained = launch.run(job, processes, nodes, scratch)
        if trained is None:
            return {**details, "elsewhere": True}  # another node has the model
        details = {**details, **trained}
    elif command:
        run_command(command, workdir, variables, settings.timeout)
    else:
        details = {**details, **built_in.train(settings, variables)}
    return {**details, "wrote": contract.check_output(output)}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the training stage on the command line's arguments."""
    parser = command_line.parser("training.train", __doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON file with the stage's settings")
    parser.add_argument("--command", help="shell command that trains instead of the built-in trainer")
    parser.add_argument(
        "--workdir", type=Path, default=Path(), help="the project's folder; default: the current folder"
    )
    parser.add_argument(
        "--gpu", choices=("auto", "required"), default="auto", help="required: fail if there is no GPU"
    )
    parser.add_argument(
        "--processes",
        type=int,
        help="number of processes on this machine; default: one for each GPU, or one",
    )
    several = parser.add_argument_group("several machines (run this program on each)")
    several.add_argument("--nodes", type=int, help="number of machines that train together")
    several.add_argument("--rendezvous", metavar="HOST:PORT", help="where they meet, on the first machine")
    several.add_argument("--run", help="name of this training, the same on all machines")
    several.add_argument("--address", help="address of this machine for the others")
    options = parser.parse_args(arguments)
    nodes = None
    if options.nodes is not None:
        nodes = launch.Nodes(options.nodes, options.rendezvous, options.run, options.address)

    def body() -> Details:
        settings = read_settings(Settings, options.config)
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
