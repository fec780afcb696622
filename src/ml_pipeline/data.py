"""The project's data: checked against its schema, and split into training rows and holdout."""

import dagger
from dagger import dag

from ml_pipeline import settings, sources, storage
from ml_pipeline.baseline import Baseline
from ml_pipeline.environments import with_pins, with_programs
from ml_pipeline.errors import StageError
from ml_pipeline.run import OUTPUT, Finished, Run

DATA, CONFIG, RECORD = "/data", "/settings.json", "/record.json"
PROGRAM = ("stages/data.py", "stages/kinds.py", "stages/paths.py", "stages/dataset/**")


async def validate(run: Run, baseline: Baseline | None = None) -> Finished:
    """Schema, quality, leakage, and drift against data.reference or else the baseline's record.

    The output folder has report.json, metrics.json and schema.toml.
    """
    arguments = ["validate", "--config", CONFIG, "--data", DATA, "--output", OUTPUT]
    container = await _container(run)
    if baseline and baseline.record and not run.project.data.reference:
        container = container.with_file(RECORD, baseline.record)
        arguments += ["--baseline-record", RECORD]
    return await run.stage("validate-data", container, "data", arguments)


async def split(run: Run) -> Finished:
    """Write train.parquet, holdout.parquet and record.json into the output folder."""
    arguments = ["split", "--config", CONFIG, "--data", DATA, "--output", OUTPUT]
    return await run.stage("split", await _container(run), "data", arguments)


def environment(run: Run) -> dagger.Container:
    """Return a Python with polars, numpy and ONNX Runtime."""
    return run.environments.python().with_(with_pins("model", "data"))


async def _container(run: Run) -> dagger.Container:
    container = (
        environment(run)
        .with_(with_programs(*PROGRAM))
        .with_new_file(CONFIG, settings.data(run.project))
        .with_directory(DATA, await sources.data(run.source, run.project.data.paths))
    )
    if run.project.data.urls:
        container = container.with_mounted_directory(f"{DATA}/{storage.FOLDER}", await storage.objects(run))
    return container


async def schema(run: Run) -> str:
    """Return `data.columns` as strict as the data is, to be pasted into the project's configuration.

    Data that breaks the present schema has one too.
    """
    try:
        output = (await validate(run)).output
    except StageError:
        output = run.outputs.get("validate-data", dag.directory())
        if "schema.toml" not in await output.entries():
            raise
    text = await output.file("schema.toml").contents()
    own_file = "ml-pipeline.toml" in await run.source.entries()
    return text.replace("[tool.ml-pipeline.", "[") if own_file else text
