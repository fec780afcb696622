"""The report: the documents of the stages that ran, made into one folder to look at."""

import json

import dagger
from dagger import dag

from ml_pipeline.engine.environments import with_pins, with_programs
from ml_pipeline.engine.paths import INPUT, OUTPUT
from ml_pipeline.engine.run import Run, document
from ml_pipeline.engine.stage import Stage

REPORT = Stage(
    "report",
    "ml_pipeline.report.write",
    ("the documents of the stages",),
    ("report.html", "summary.md", "report.json", "junit.xml", "training.png"),
)
# The report's file → the stage that wrote it, and its name there.
DOCUMENTS = {
    "data.json": ("validate-data", "report.json"),
    "junit.xml": ("test", "junit.xml"),
    "history.csv": ("train", "history.csv"),
    "model.json": ("inspect-model", "model.json"),
    "verdict.json": ("validate-gate", "verdict.json"),
}


async def write(run: Run) -> dagger.Directory:
    """Return the report of what ran, however far that came."""
    found = document(run)
    pipeline = {key: value for key, value in found.items() if f"{key}.json" not in DOCUMENTS}
    folder = dag.directory().with_new_file("pipeline.json", json.dumps(pipeline, indent=1))
    for name, (stage, path) in DOCUMENTS.items():
        output = run.outputs.get(stage)
        if output and path in await output.entries():
            folder = folder.with_file(name, output.file(path))
    container = (
        run.environments.python()
        .with_(with_pins("report"))
        .with_(with_programs(REPORT.program))
        .with_directory(INPUT, folder)
    )
    return (await run.stage(REPORT, container, ["--input", INPUT, "--output", OUTPUT])).output
