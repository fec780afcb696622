"""The project's data: checked against its schema, and split into training rows and holdout."""

import dagger
from dagger import dag

from ml_pipeline.data import objects as storage
from ml_pipeline.engine import sources
from ml_pipeline.engine.environments import with_programs
from ml_pipeline.engine.paths import CONFIG, DATA, OUTPUT
from ml_pipeline.engine.run import Finished, Run
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import StageError
from ml_pipeline.project import settings

RECORD = "/record.json"
VALIDATE = Stage(
    "validate-data",
    "ml_pipeline.data.validate",
    ("data", "record.json of the baseline"),
    ("report.json", "metrics.json", "schema.toml"),
    "data",
)
SPLIT = Stage(
    "split",
    "ml_pipeline.data.split",
    ("data",),
    ("train.parquet", "holdout.parquet", "record.json", "text.json"),
    "split",
)


async def validate(run: Run, record: dagger.File | None = None) -> Finished:
    """Check schema, quality, leakage, and drift against data.reference or else `record`, the baseline's.

    The output folder has report.json, metrics.json and schema.toml.
    """
    arguments = ["--config", CONFIG, "--data", DATA, "--output", OUTPUT]
    container = await _container(run, VALIDATE)
    if record and not run.project.data.reference:
        container = container.with_file(RECORD, record)
        arguments += ["--baseline-record", RECORD]
    return await run.stage(VALIDATE, container, arguments)


async def split(run: Run) -> Finished:
    """Write train.parquet, holdout.parquet and record.json into the output folder."""
    arguments = ["--config", CONFIG, "--data", DATA, "--output", OUTPUT]
    return await run.stage(SPLIT, await _container(run, SPLIT), arguments)


async def _container(run: Run, stage: Stage) -> dagger.Container:
    container = (
        run.environments.tables()
        .with_(with_programs(stage.program))
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
        output = run.outputs.get(VALIDATE.name, dag.directory())
        if "schema.toml" not in await output.entries():
            raise
    text = await output.file("schema.toml").contents()
    own_file = "ml-pipeline.toml" in await run.source.entries()
    return text.replace("[tool.ml-pipeline.", "[") if own_file else text
