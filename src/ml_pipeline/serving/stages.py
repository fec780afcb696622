"""The serving image: a slim Python, the serving pins and the model, without torch, compiler and installer.

With serve.device = "cuda" it is built on the training image instead, which has torch.
"""

import dagger

from ml_pipeline.engine import dependencies, sources
from ml_pipeline.engine.device import choose_device
from ml_pipeline.engine.environments import Step, with_pins, with_programs
from ml_pipeline.engine.paths import PROGRAMS, PYTHON, VENV
from ml_pipeline.engine.run import Run
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import StageError
from ml_pipeline.model.stages import Trained
from ml_pipeline.serving import contract
from ml_pipeline.serving.contract import MODEL, PORT, TITLE, USER, VERSION

BUILD = Stage("build-image", reads=("what is served of the model",))


async def check_gpu(run: Run, stage: str) -> None:
    """Raise StageError if the image needs a GPU to run on and the engine has none."""
    if run.project.serve.device == "cuda" and await choose_device(run) == "cpu":
        why = "--gpu=off gives it none" if run.environments.gpu == "off" else "the engine has no GPU"
        hint = 'use an engine that has one (see docs/training.md#gpu), or set serve.device = "cpu"'
        raise StageError(stage, f'serve.device = "cuda", but {why}', hint)


def with_gpus(run: Run) -> Step:
    """Return a step that gives an image with serve.device = "cuda" the engine's GPUs; see check_gpu."""

    def step(container: dagger.Container) -> dagger.Container:
        return container.experimental_with_all_gp_us() if run.project.serve.device == "cuda" else container

    return step


async def build(run: Run, trained: Trained) -> dagger.Container:
    """Build the image. Raises StageError where the model can't be served as configured."""
    runtime = run.project.serve.runtime
    if trained.runtime != runtime:
        wrote = {"onnx": "model.onnx", "python": "predictor.py", None: "no model"}[trained.runtime]
        fitting = "false" if trained.runtime is None else f'"{trained.runtime}"'
        hint = f"set serve.runtime = {fitting}, or train what it names"
        raise StageError(BUILD.name, f"serve.runtime is {runtime!r}, but training wrote {wrote}", hint)
    on_cuda = run.project.serve.device == "cuda"
    installed = run.environments.training() if on_cuda else run.environments.python()
    installed = installed.with_(with_pins("model", "serving"))
    if runtime == "python":
        pyproject = await sources.text(run.source, "pyproject.toml")
        needs = dependencies.runtime(await run.source.entries(), pyproject)
        installed = await dependencies.install(BUILD.name, installed, run.source, needs)
    image = (
        run.environments.serving(run.project.serve.device)
        .with_directory(VENV, installed.directory(VENV))
        .with_(with_programs(contract.SERVER, contract.BATCH, contract.OLD_SERVER, contract.OLD_BATCH))
        # A command comes last, because the cache knows its result by the content of all that was there. A
        # folder would be a new layer, and the image would have another digest, at each call.
        .with_(run.environments.with_folder(trained.served, MODEL))
        .with_env_variable("PYTHONDONTWRITEBYTECODE", "1")
        .with_env_variable("PYTHONUNBUFFERED", "1")
        .with_workdir(PROGRAMS)
        .with_user(str(USER))
        .with_entrypoint([PYTHON, "-m"])
        .with_default_args([contract.SERVER])
        .with_exposed_port(PORT)
        .with_label(TITLE, run.project.name)
        .with_label(VERSION, trained.version)
        .with_label(contract.BATCH_COMMAND, contract.batch_label())
        .with_label(contract.DRAIN, contract.DRAIN_VARIABLE)
    )
    return await run.timed(BUILD, image.sync())
