"""The report: the documents of the stages that ran, made into one folder to look at."""

import json

import dagger
from dagger import dag

from ml_pipeline.checks.stages import TEST
from ml_pipeline.common.document import as_json
from ml_pipeline.data.stages import VALIDATE
from ml_pipeline.engine.environments import with_pins, with_programs
from ml_pipeline.engine.paths import INPUT, OUTPUT
from ml_pipeline.engine.run import Run
from ml_pipeline.engine.stage import Stage
from ml_pipeline.gate.stages import JUDGE
from ml_pipeline.model.stages import INSPECT
from ml_pipeline.training.stages import TRAIN

REPORT = Stage(
    "report",
    "ml_pipeline.report.write",
    ("the documents of the stages",),
    ("report.html", "summary.md", "report.json", "junit.xml", "training.png"),
)
# A file in the report → the stage that wrote it, and its name there.
DOCUMENTS = {
    "data.json": (VALIDATE, "report.json"),
    "junit.xml": (TEST, "junit.xml"),
    "history.csv": (TRAIN, "history.csv"),
    "model.json": (INSPECT, "model.json"),
    "verdict.json": (JUDGE, "verdict.json"),
}


async def write(run: Run) -> dagger.Directory:
    """Return the report of what ran, however far that came."""
    pipeline = {key: part for key, part in as_json(run.document()).items() if f"{key}.json" not in DOCUMENTS}
    folder = dag.directory().with_new_file("pipeline.json", json.dumps(pipeline, indent=1))
    for name, (stage, path) in DOCUMENTS.items():
        output = run.outputs.get(stage.name)
        if output and path in await output.entries():
            folder = folder.with_file(name, output.file(path))
    container = (
        run.environments.python()
        .with_(with_pins("report"))
        .with_(with_programs(REPORT.program))
        .with_directory(INPUT, folder)
    )
    return (await run.stage(REPORT, container, ["--input", INPUT, "--output", OUTPUT])).output
