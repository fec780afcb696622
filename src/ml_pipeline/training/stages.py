"""The stage that trains: with the project's command or the built-in trainer, in the CUDA PyTorch image."""

import hashlib

import dagger
from dagger import dag

from ml_pipeline.common import wording
from ml_pipeline.common.document import Training, part
from ml_pipeline.data import stages as data
from ml_pipeline.engine import dependencies, sources
from ml_pipeline.engine.device import choose_device
from ml_pipeline.engine.environments import with_pins, with_programs, with_torch
from ml_pipeline.engine.paths import CONFIG, OUTPUT, ROWS, SOURCE
from ml_pipeline.engine.run import Run
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import ConfigError
from ml_pipeline.model.stages import Trained, inspect
from ml_pipeline.project import settings
from ml_pipeline.training import nodes as training_cluster
from ml_pipeline.training import weights_code
from ml_pipeline.training.nodes import Nodes

CHECKPOINTS = "/checkpoints"
TRAIN = Stage(
    "train",
    "ml_pipeline.training.train",
    ("train.parquet", "code of train.command"),
    ("model.onnx or predictor.py", "metrics.json", "history.csv"),
    "training",
)


async def train(run: Run, nodes: Nodes | None = None) -> Trained:
    """Split the data, train, and describe the model. Raises StageError if there is no usable model.

    Without `nodes`, training runs in the engine.
    """
    if nodes and run.project.train.search:
        raise ConfigError("train.search can't be used with --nodes", "remove train.search, or --nodes")
    rows = (await data.split(run)).output
    device = _device_of_nodes(run) if nodes else await choose_device(run)
    run.gpu = device
    key = await _key(run, rows, device)
    container = await _container(run, rows, device)
    arguments = ["--config", CONFIG]
    if run.environments.gpu == "on":
        arguments += ["--gpu", "required"]
    if run.project.train.command:
        arguments += ["--command", run.project.train.command]
    if nodes:
        if run.project.train.command:
            arguments += ["--source", SOURCE]
            # The pods run as a user of their own, who must be able to read it.
            container = container.with_exec(["chmod", "--recursive", "a+rX", SOURCE])
        trained = await training_cluster.train(run, nodes, container, key, arguments)
    else:
        if run.project.train.command:
            arguments += ["--workdir", SOURCE]
        if device == "cuda":
            container = container.experimental_with_all_gp_us()
        checkpoints = dag.cache_volume(f"ml-pipeline-checkpoints-{key}")
        trained = await run.stage(TRAIN, container.with_mounted_cache(CHECKPOINTS, checkpoints), arguments)
    run.gpu = wording.device(device, part(Training, trained.details, "training").gpus)
    return await inspect(run, trained.output, rows)


async def _container(run: Run, rows: dagger.Directory, device: str) -> dagger.Container:
    """Return the container with everything that training needs, rows and settings included."""
    container = await _environment(run)
    return (
        container.with_(with_programs(TRAIN.program))
        .with_new_file(CONFIG, settings.train(run.project, device))
        .with_file(f"{ROWS}/train.parquet", rows.file("train.parquet"))
        .with_env_variable("ML_DATA", f"{ROWS}/train.parquet")
        .with_env_variable("ML_OUTPUT", OUTPUT)
        .with_env_variable("ML_SEED", str(run.project.train.seed))
        .with_env_variable("ML_DEVICE", device)
        .with_env_variable("ML_CHECKPOINTS", CHECKPOINTS)
    )


def _device_of_nodes(run: Run) -> str:
    """Return "cuda" if --gpu=on: whether a cluster's nodes have GPUs is not known here."""
    return "cuda" if run.environments.gpu == "on" else "cpu"


async def _environment(run: Run) -> dagger.Container:
    container = run.environments.training()
    if not run.project.train.command:
        return container.with_(with_torch).with_(with_pins("model", "data", "training"))
    pyproject = await sources.text(run.source, "pyproject.toml")
    requirements = dependencies.runtime(await run.source.entries(), pyproject, run.project.train.extras)
    container = await dependencies.install("train", container, run.source, requirements)
    view = sources.trained(run.source, run.project)
    return container.with_(run.environments.with_folder(view, SOURCE))


async def _key(run: Run, rows: dagger.Directory, device: str) -> str:
    """Return the run's key, which names its folder of checkpoints: the rows, the code and the settings."""
    key = hashlib.sha256(settings.train(run.project, device).encode())
    key.update((await rows.file("train.parquet").digest()).encode())
    if run.project.train.command:
        key.update(run.project.train.command.encode())
        key.update((await sources.trained(run.source, run.project).digest()).encode())
    else:
        key.update(weights_code.digest().encode())
    return key.hexdigest()[:24]
