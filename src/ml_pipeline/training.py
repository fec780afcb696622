"""Training: the project's own command or the built-in trainer, in the CUDA PyTorch container."""

import hashlib
from dataclasses import dataclass

import dagger
from dagger import dag

from ml_pipeline import data, dependencies, settings, sources, training_cluster, wording
from ml_pipeline.environments import with_pins, with_programs, with_torch
from ml_pipeline.errors import ConfigError
from ml_pipeline.run import OUTPUT, Run
from ml_pipeline.training_cluster import Nodes

SOURCE, ROWS, CONFIG, CHECKPOINTS = "/source", "/rows", "/settings.json", "/checkpoints"
TRAINER = ("stages/train.py", "stages/kinds.py", "stages/training/**", "stages/tabular/**")
INSPECTOR = (
    "stages/inspect_model.py",
    "stages/kinds.py",
    "stages/inspecting/**",
    "stages/serving/**",
    *(f"stages/dataset/{name}.py" for name in ("__init__", "effects", "record", "sorting")),
)


@dataclass(frozen=True)
class Trained:
    """A trained model's folder, and the rows that it has not seen."""

    folder: dagger.Directory  # all that training wrote, with model.json
    served: dagger.Directory  # what of it belongs into the image
    version: str
    runtime: str | None  # None: nothing in the folder can be served
    rows: dagger.Directory  # train.parquet, holdout.parquet, record.json

    @property
    def signature(self) -> dagger.File:
        return self.served.file("model.json")


async def train(run: Run, nodes: Nodes | None = None) -> Trained:
    """Split, train, and describe what came out; raise StageError where nothing usable did.

    Without `nodes`, training runs in the engine.
    """
    if nodes and run.project.train.search:
        raise ConfigError("train.search tries settings on one machine", "remove it, or train without --nodes")
    rows = (await data.split(run)).output
    device = _device_of_nodes(run) if nodes else await choose_device(run)
    run.facts["gpu"] = device
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
            container = container.with_exec(["chmod", "--recursive", "a+rX", SOURCE])  # for a user of its own
        trained = await training_cluster.train(run, nodes, container, key, arguments)
    else:
        if run.project.train.command:
            arguments += ["--workdir", SOURCE]
        if device == "cuda":
            container = container.experimental_with_all_gp_us()
        kept = dag.cache_volume(f"ml-pipeline-checkpoints-{key}")
        trained = await run.stage(
            "train", container.with_mounted_cache(CHECKPOINTS, kept), "train", arguments
        )
    run.facts["gpu"] = wording.device(device, trained.details.get("gpus") or [])
    return await _described(run, trained.output, rows)


async def _container(run: Run, rows: dagger.Directory, device: str) -> dagger.Container:
    """Return all that training needs, rows and settings included."""
    container = await _environment(run)
    return (
        container.with_(with_programs(*TRAINER))
        .with_new_file(CONFIG, settings.train(run.project, device))
        .with_file(f"{ROWS}/train.parquet", rows.file("train.parquet"))
        .with_env_variable("ML_DATA", f"{ROWS}/train.parquet")
        .with_env_variable("ML_OUTPUT", OUTPUT)
        .with_env_variable("ML_SEED", str(run.project.train.seed))
        .with_env_variable("ML_DEVICE", device)
        .with_env_variable("ML_CHECKPOINTS", CHECKPOINTS)
    )


def _device_of_nodes(run: Run) -> str:
    """Return "cuda" only where it was asked for: a cluster is not asked whether it has GPUs."""
    return "cuda" if run.environments.gpu == "on" else "cpu"


async def choose_device(run: Run) -> str:
    """Return "cuda" or "cpu"; auto asks the engine.

    on does not ask: training itself then says what it lacks.
    """
    if run.environments.gpu != "auto":
        return "cuda" if run.environments.gpu == "on" else "cpu"
    probe = (
        dag.container()
        .from_(run.environments.training_image)
        .experimental_with_all_gp_us()
        .with_exec(["nvidia-smi", "--list-gpus"])
    )
    try:
        found = "GPU" in await probe.stdout()
    except dagger.QueryError:  # no support in the engine, no driver on its machine, or no device
        found = False
    return "cuda" if found else "cpu"


async def _environment(run: Run) -> dagger.Container:
    container = run.environments.training()
    if not run.project.train.command:
        return container.with_(with_torch).with_(with_pins("model", "data", "training"))
    pyproject = await sources.text(run.source, "pyproject.toml")
    wanted = dependencies.runtime(await run.source.entries(), pyproject, run.project.train.extras)
    container = await dependencies.install("train", container, run.source, wanted)
    view = sources.trained(run.source, run.project)
    return container.with_(run.environments.with_source(view, SOURCE))


async def _key(run: Run, rows: dagger.Directory, device: str) -> str:
    """Name what can be resumed: other rows, code or settings are another run."""
    key = hashlib.sha256(settings.train(run.project, device).encode())
    key.update((await rows.file("train.parquet").digest()).encode())
    if run.project.train.command:
        key.update(run.project.train.command.encode())
        key.update((await sources.trained(run.source, run.project).digest()).encode())
    else:
        trainer = dag.current_module().source().directory("src/ml_pipeline/stages/tabular")
        key.update((await trainer.digest()).encode())
    return key.hexdigest()[:24]


async def _described(run: Run, folder: dagger.Directory, rows: dagger.Directory) -> Trained:
    container = (
        data.environment(run)
        .with_(with_programs(*INSPECTOR))
        .with_new_file(CONFIG, settings.train(run.project, "cpu"))
        .with_directory("/model", folder)
        .with_file(f"{ROWS}/train.parquet", rows.file("train.parquet"))
        .with_file(f"{ROWS}/record.json", rows.file("record.json"))
    )
    arguments = [
        "--record",
        f"{ROWS}/record.json",
        "--model",
        "/model",
        "--data",
        f"{ROWS}/train.parquet",
        "--config",
        CONFIG,
    ]
    arguments += ["--name", run.project.name, "--output", OUTPUT]
    described = await run.stage("inspect-model", container, "inspect_model", arguments)
    signature = described.output.file("model.json")
    return Trained(
        folder.with_file("model.json", signature),
        described.output,
        described.details["version"],
        described.details["runtime"],
        rows,
    )
