"""The serving image: a slim Python, the serving pins, the model; no torch, no compiler, no installer."""

import dagger
from dagger import dag

from ml_pipeline import dependencies, sources
from ml_pipeline.environments import PROGRAMS, PYTHON, VENV, with_pins, with_programs
from ml_pipeline.errors import StageError
from ml_pipeline.labels import TITLE, VERSION
from ml_pipeline.run import Run
from ml_pipeline.training import Trained

PORT = 8000
USER = "10001"
SERVER = ("stages/serve.py", "stages/predict.py", "stages/model.py", "stages/serving/**")


async def build(run: Run, trained: Trained) -> dagger.Container:
    """Return the image, built; raise StageError where the model can't be served as configured."""
    wanted = run.project.serve.runtime
    if trained.runtime != wanted:
        wrote = {"onnx": "model.onnx", "python": "predictor.py", None: "no model"}[trained.runtime]
        fitting = "false" if trained.runtime is None else f'"{trained.runtime}"'
        hint = f"set serve.runtime = {fitting}, or train what it names"
        raise StageError("build-image", f"serve.runtime is {wanted!r}, but training wrote {wrote}", hint)
    installed = run.environments.python().with_(with_pins("model", "serving"))
    if wanted == "python":
        pyproject = await sources.text(run.source, "pyproject.toml")
        needs = dependencies.runtime(await run.source.entries(), pyproject)
        installed = await dependencies.install("build-image", installed, run.source, needs)
    image = (
        dag.container()
        .from_(run.environments.python_image)
        .with_directory(VENV, installed.directory(VENV))
        .with_(with_programs(*SERVER))
        .with_directory("/model", trained.served)
        .with_env_variable("PYTHONDONTWRITEBYTECODE", "1")
        .with_env_variable("PYTHONUNBUFFERED", "1")
        .with_workdir(PROGRAMS)
        .with_user(USER)
        .with_entrypoint([PYTHON, "-m"])
        .with_default_args(["ml_pipeline.stages.serve"])
        .with_exposed_port(PORT)
        .with_label(TITLE, run.project.name)
        .with_label(VERSION, trained.version)
    )
    return await run.timed("build-image", image.sync())
