"""The gate: the image that would ship answers the holdout, and its answers are judged."""

from collections.abc import Mapping
from functools import partial

import dagger
from dagger import dag

from ml_pipeline import settings
from ml_pipeline.baseline import Baseline
from ml_pipeline.environments import PROGRAMS, module_file, with_pins, with_programs
from ml_pipeline.image import PORT, USER
from ml_pipeline.project import Project
from ml_pipeline.run import OUTPUT, Finished, Run, side_by_side
from ml_pipeline.training import Trained

INPUT = "/input"
JUDGE = (
    "rules.py",
    "measures.py",
    "wording.py",
    "stages/evaluate.py",
    "stages/ask_service.py",
    "stages/judging/**",
)
STARTER = "stages/cold_start.py"


async def validate(
    run: Run, trained: Trained, image: dagger.Container | None, baseline: Baseline | None = None
) -> Finished:
    """Judge the candidate, beside the baseline if there is one; the output folder has verdict.json.

    Without an image (serve.runtime = false) only the training's own metrics are judged.
    """
    evidence = _environment(run, trained)
    seen = await _seen(run, evidence, image, baseline) if image else {}
    # The gates come after what is prepared without them: a changed gate prepares nothing again.
    container = evidence.with_new_file(f"{INPUT}/settings.json", settings.evaluate(run.project))
    files = {"config": "settings.json", **HOLDOUT}
    if "metrics.json" in await trained.folder.entries():
        container = container.with_file(f"{INPUT}/metrics.json", trained.folder.file("metrics.json"))
        files["metrics"] = "metrics.json"
    if asks_for_drift(run.project):
        found = run.outputs["validate-data"].file("metrics.json")
        container = container.with_file(f"{INPUT}/data-metrics.json", found)
        files["data-metrics"] = "data-metrics.json"
    arguments = _options({name: f"{INPUT}/{file}" for name, file in files.items()} | {"output": OUTPUT})
    for name, file in seen.items():
        container = container.with_file(f"{INPUT}/{name}", file)
        arguments += _options({name.rpartition(".")[0]: f"{INPUT}/{name}"})
    if image:
        base = dag.container().from_(run.environments.python_image)
        container, more = _running(container, "candidate", image)
        container = container.with_mounted_directory("/base", base.rootfs())
        more["base-root"] = "/base"
        more["candidate-digest"] = await image.rootfs().digest()
        arguments += _options(more)
    if image and baseline and baseline.ours:
        container, more = _running(container, "baseline", baseline.image)
        arguments += _options(more)
    if image and baseline and baseline.digest:
        arguments += _options({"baseline-digest": baseline.digest})
    return await run.stage("validate-gate", container, "evaluate", ["judge", *arguments])


HOLDOUT = {"holdout": "holdout.parquet", "model-json": "model.json"}


def _environment(run: Run, trained: Trained) -> dagger.Container:
    container = (
        run.environments.python().with_(with_pins("model", "data", "evaluate")).with_(with_programs(*JUDGE))
    )
    given = {"holdout.parquet": trained.rows.file("holdout.parquet"), "model.json": trained.signature}
    for name, file in given.items():
        container = container.with_file(f"{INPUT}/{name}", file)
    return container


async def _seen(
    run: Run, evidence: dagger.Container, image: dagger.Container, baseline: Baseline | None
) -> Mapping[str, dagger.File]:
    """Let the images answer the holdout and start; return what `judge` reads, by its option's name."""
    arguments = _options({name: f"{INPUT}/{file}" for name, file in HOLDOUT.items()} | {"output": OUTPUT})
    prepared = (await run.stage("prepare-holdout", evidence, "evaluate", ["prepare", *arguments])).output
    rows, requests = prepared.file("holdout.npz"), prepared.file("requests.json")
    asked = {"predictions.npz": partial(_answers, run, "candidate", image, rows)}
    if baseline and baseline.ours:
        asked["baseline-predictions.npz"] = partial(_answers, run, "baseline", baseline.image, rows)
    elif baseline:
        asked["baseline-predictions.npz"] = partial(_asked, run, evidence, baseline.image, rows)
    answers = await side_by_side(*asked.values())
    seen = dict(zip(asked, answers, strict=True))
    # Alone: what runs beside it would slow it down.
    return {"requests.json": requests, **seen, "start-metrics.json": await _cold_start(run, image, requests)}


def _running(
    container: dagger.Container, who: str, image: dagger.Container
) -> tuple[dagger.Container, dict[str, str]]:
    """Bind an image as a service, and mount its files to be weighed; return the options that tell of them."""
    container = container.with_service_binding(who, image.as_service(use_entrypoint=True))
    container = container.with_mounted_directory(f"/{who}", image.rootfs())
    return container, {f"{who}-url": f"http://{who}:{PORT}", f"{who}-root": f"/{who}"}


def _options(values: Mapping[str, str]) -> list[str]:
    return [word for name, value in values.items() for word in (f"--{name}", value)]


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


async def _asked(
    run: Run, evidence: dagger.Container, image: dagger.Container, rows: dagger.File
) -> dagger.File:
    """Let an image of another maker answer the holdout as the service that it is."""
    ports = await image.exposed_ports()
    port = await ports[0].port() if ports else PORT
    container = evidence.with_service_binding("baseline", image.as_service(use_entrypoint=True))
    container = container.with_file(f"{INPUT}/holdout.npz", rows)
    told = {"url": f"http://baseline:{port}", "name": run.project.name}
    files = {"input": f"{INPUT}/holdout.npz", "model-json": f"{INPUT}/model.json"}
    arguments = _options({**told, **files, "output": f"{OUTPUT}/predictions.npz"})
    finished = await run.stage("predict-baseline", container, "ask_service", arguments)
    return finished.output.file("predictions.npz")


async def _cold_start(run: Run, image: dagger.Container, requests: dagger.File) -> dagger.File:
    """Time the image's own server from its start to its first prediction, in the image, as its own user."""
    program = f"{PROGRAMS}/ml_pipeline/{STARTER}"
    container = (
        image.with_mounted_file(program, module_file(f"src/ml_pipeline/{STARTER}"))
        .with_mounted_file(f"{INPUT}/requests.json", requests)
        .with_directory(OUTPUT, dag.directory(), owner=USER)
        .with_directory("/outcome", dag.directory(), owner=USER)
    )
    arguments = ["--requests", f"{INPUT}/requests.json", "--output", OUTPUT]
    finished = await run.stage("start-candidate", container, "cold_start", arguments)
    return finished.output.file("metrics.json")
