"""The project's data: checked against its schema, and split into training rows and holdout."""

import dagger

from ml_pipeline import settings, sources
from ml_pipeline.environments import with_pins, with_programs
from ml_pipeline.run import OUTPUT, Finished, Run

DATA, CONFIG = "/data", "/settings.json"
PROGRAM = ("stages/data.py", "stages/dataset/**")


async def validate(run: Run) -> Finished:
    """Schema and missing values; the output folder has report.json."""
    arguments = ["validate", "--config", CONFIG, "--data", DATA, "--output", OUTPUT]
    return await run.stage("validate-data", await _container(run), "data", arguments)


async def split(run: Run) -> Finished:
    """Write train.parquet and holdout.parquet into the output folder."""
    arguments = ["split", "--config", CONFIG, "--data", DATA, "--output", OUTPUT]
    return await run.stage("split", await _container(run), "data", arguments)


def environment(run: Run) -> dagger.Container:
    """Return a Python with polars, numpy and ONNX Runtime."""
    return run.environments.python().with_(with_pins("model", "data"))


async def _container(run: Run) -> dagger.Container:
    return (
        environment(run)
        .with_(with_programs(*PROGRAM))
        .with_new_file(CONFIG, settings.data(run.project))
        .with_directory(DATA, await sources.data(run.source, run.project))
    )
