"""The gate: the image that would ship answers the holdout, and its answers are judged."""

import dagger
from dagger import dag

from ml_pipeline import settings
from ml_pipeline.baseline import Baseline
from ml_pipeline.environments import with_pins, with_programs
from ml_pipeline.image import PORT, USER
from ml_pipeline.project import Project
from ml_pipeline.run import OUTPUT, Finished, Run
from ml_pipeline.training import Trained

INPUT = "/input"
DIFFERENCES = tuple(
    f"stages/dataset/{name}.py"
    for name in ("__init__", "differences", "effects", "ks", "ks_probability", "record", "sorting")
)
JUDGE = ("rules.py", "measures.py", "wording.py", "stages/evaluate.py", "stages/judging/**", *DIFFERENCES)


async def validate(
    run: Run, trained: Trained, image: dagger.Container | None, baseline: Baseline | None = None
) -> Finished:
    """Judge the candidate, beside the baseline if there is one; the output folder has verdict.json.

    Without an image (serve.runtime = false) only the training's own metrics are judged.
    """
    container = (
        run.environments.python()
        .with_(with_pins("model", "data", "evaluate"))
        .with_(with_programs(*JUDGE))
        .with_file(f"{INPUT}/holdout.parquet", trained.rows.file("holdout.parquet"))
        .with_file(f"{INPUT}/model.json", trained.signature)
    )
    common = [
        "--holdout",
        f"{INPUT}/holdout.parquet",
        "--model-json",
        f"{INPUT}/model.json",
        "--output",
        OUTPUT,
    ]
    # The gates come after what is prepared without them: a changed gate prepares nothing again.
    unjudged = container
    container = container.with_new_file(f"{INPUT}/settings.json", settings.evaluate(run.project))
    arguments = ["judge", "--config", f"{INPUT}/settings.json", *common]
    if "metrics.json" in await trained.folder.entries():
        container = container.with_file(f"{INPUT}/metrics.json", trained.folder.file("metrics.json"))
        arguments += ["--metrics", f"{INPUT}/metrics.json"]
    if asks_for_drift(run.project):
        found = run.outputs["validate-data"].file("metrics.json")
        container = container.with_file(f"{INPUT}/data-metrics.json", found)
        arguments += ["--data-metrics", f"{INPUT}/data-metrics.json"]
    if image:
        prepared = (await run.stage("prepare-holdout", unjudged, "evaluate", ["prepare", *common])).output
        answers = await _answers(run, "candidate", image, prepared.file("holdout.npz"))
        container = (
            container.with_file(f"{INPUT}/predictions.npz", answers)
            .with_file(f"{INPUT}/requests.json", prepared.file("requests.json"))
            .with_service_binding("candidate", image.as_service(use_entrypoint=True))
        )
        arguments += ["--predictions", f"{INPUT}/predictions.npz", "--requests", f"{INPUT}/requests.json"]
        arguments += ["--url", f"http://candidate:{PORT}"]
        base = dag.container().from_(run.environments.python_image)
        for name, weighed in {"image": image, "base": base}.items():
            container = container.with_mounted_directory(f"/{name}", weighed.rootfs())
            arguments += [f"--{name}-root", f"/{name}"]
        if baseline:
            answers = await _answers(run, "baseline", baseline.image, prepared.file("holdout.npz"))
            container = container.with_file(f"{INPUT}/baseline.npz", answers)
            arguments += ["--baseline-predictions", f"{INPUT}/baseline.npz"]
            if baseline.digest:
                arguments += ["--baseline-digest", baseline.digest]
    return await run.stage("validate-gate", container, "evaluate", arguments)


def asks_for_drift(project: Project) -> bool:
    """Say whether a gate is on what validate-data found; without one, moved data judges nothing again."""
    return any(metric == "drift_share" or metric.startswith("drift.") for metric in project.gates)


async def _answers(run: Run, who: str, image: dagger.Container, rows: dagger.File) -> dagger.File:
    """Let an image answer the holdout through its own batch command, as its own user."""
    writable = dag.directory()
    container = (
        image.with_mounted_file(f"{INPUT}/holdout.npz", rows)
        .with_directory(OUTPUT, writable, owner=USER)
        .with_directory("/outcome", writable, owner=USER)
    )
    arguments = ["--input", f"{INPUT}/holdout.npz", "--output", f"{OUTPUT}/predictions.npz"]
    finished = await run.stage(f"predict-{who}", container, "predict", arguments)
    return finished.output.file("predictions.npz")
