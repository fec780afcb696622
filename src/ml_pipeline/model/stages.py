"""A trained model: its signature, and the files of its folder that are served."""

from dataclasses import dataclass

import dagger

from ml_pipeline.engine.environments import with_programs
from ml_pipeline.engine.paths import CONFIG, OUTPUT, ROWS
from ml_pipeline.engine.run import Run
from ml_pipeline.engine.stage import Stage
from ml_pipeline.project import settings
from ml_pipeline.serving.contract import MODEL, SIGNATURE

INSPECT = Stage(
    "inspect-model",
    "ml_pipeline.model.inspect_model",
    ("the training's folder", "train.parquet", "record.json", "text.json"),
    ("model.json", "record.json", "what is served"),
    "model",
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
        return self.served.file(SIGNATURE)


async def inspect(run: Run, folder: dagger.Directory, rows: dagger.Directory) -> Trained:
    """Describe the model that training wrote into `folder`. Raises StageError where it can't be used."""
    container = (
        run.environments.tables()
        .with_(with_programs(INSPECT.program))
        .with_new_file(CONFIG, settings.train(run.project, "cpu"))
        .with_directory(MODEL, folder)
        .with_file(f"{ROWS}/train.parquet", rows.file("train.parquet"))
        .with_file(f"{ROWS}/record.json", rows.file("record.json"))
        .with_file(f"{ROWS}/text.json", rows.file("text.json"))
    )
    arguments = [f"--record={ROWS}/record.json", f"--model={MODEL}", f"--data={ROWS}/train.parquet"]
    arguments += [
        f"--text={ROWS}/text.json",
        f"--config={CONFIG}",
        f"--name={run.project.name}",
        f"--output={OUTPUT}",
    ]
    described = await run.stage(INSPECT, container, arguments)
    runtime = described.details["runtime"]
    return Trained(
        folder.with_file(SIGNATURE, described.output.file(SIGNATURE)),
        described.output,
        str(described.details["version"]),
        str(runtime) if runtime else None,
        rows,
    )
