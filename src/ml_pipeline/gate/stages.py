"""The gate: the image that would ship answers the holdout, and its answers are judged."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import PurePath

import dagger
from dagger import dag

from ml_pipeline.data import objects as storage
from ml_pipeline.data.stages import VALIDATE
from ml_pipeline.engine import programs, sources
from ml_pipeline.engine.environments import own_file, with_pins, with_programs
from ml_pipeline.engine.paths import CONFIG, DATA, INPUT, OUTCOME, OUTPUT, PROGRAMS
from ml_pipeline.engine.run import Finished, Run, side_by_side
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import StageError
from ml_pipeline.gate.baseline import Baseline
from ml_pipeline.model.stages import Trained
from ml_pipeline.project import settings
from ml_pipeline.project.schema import Project
from ml_pipeline.serving.contract import BATCH_COMMAND, PORT, USER, batch_command
from ml_pipeline.serving.stages import with_gpus

_JUDGE = "ml_pipeline.gate.evaluate"
PREPARE = Stage(
    "prepare-holdout", _JUDGE, ("holdout.parquet", "model.json"), ("holdout.npz", "requests.json")
)
CANDIDATE, BASELINE = (
    Stage(f"predict-{who}", "", ("holdout.npz",), ("predictions.npz",)) for who in ("candidate", "baseline")
)
START = Stage("start-candidate", "ml_pipeline.gate.cold_start", ("requests.json",), ("metrics.json",))
RECORDED = Stage("prepare-requests", "ml_pipeline.gate.recorded", ("data.requests",), ("requests.npz",))
SHADOW_CANDIDATE, SHADOW_BASELINE = (
    Stage(f"shadow-{who}", "", ("requests.npz",), ("predictions.npz",)) for who in ("candidate", "baseline")
)
WEIGH = Stage("weigh-image")
JUDGE = Stage(
    "validate-gate", _JUDGE, ("the answers", "holdout.parquet", "the gates"), ("verdict.json",), "verdict"
)
REFERENCES = Stage(
    "references", "ml_pipeline.gate.references", ("train.parquet", "holdout.parquet"), ("references.npz",)
)
ASK = "ml_pipeline.gate.ask_service"  # in the place of a batch command, for images of other makers


async def validate(
    run: Run,
    trained: Trained,
    image: dagger.Container | None,
    baseline: Baseline | None = None,
    *,
    weighed: bool = False,
) -> Finished:
    """Judge the candidate, beside the baseline if there is one; the output folder has verdict.json.

    Without an image (serve.runtime = false) only the training's own metrics are judged. How large the image
    is when compressed takes seconds to find out: it is asked for by a gate, or because it is `weighed`.
    """
    judge = run.environments.python().with_(with_pins("model", "data", "evaluate"))
    judge = judge.with_(with_programs(JUDGE.program, ASK))
    image = image and image.with_(with_gpus(run))
    if baseline:
        baseline = replace(baseline, image=baseline.image.with_(with_gpus(run)))
    files = {"holdout.parquet": trained.rows.file("holdout.parquet"), "model-json.json": trained.signature}
    if image:
        files |= await _seen(run, judge, files, trained.rows, image, baseline)
        if baseline and run.project.data.requests:
            files |= await _shadow(run, judge, trained.signature, image, baseline)
    # The gates come after what is prepared without them: a changed gate prepares nothing again.
    config = dag.directory().with_new_file("config.json", settings.evaluate(run.project))
    files["config.json"] = config.file("config.json")
    if "metrics.json" in await trained.folder.entries():
        files["metrics.json"] = trained.folder.file("metrics.json")
    if asks_for_drift(run.project):
        files["data-metrics.json"] = run.outputs[VALIDATE.name].file("metrics.json")
    judge, arguments = _with_files(judge, files)
    if image:
        judge, options = _running(judge, "candidate", image)
        under = run.environments.serving(run.project.serve.device)
        judge = judge.with_mounted_directory("/base", under.rootfs())
        if weighed or any(metric.endswith("_compressed_mb") for metric in run.project.gates):
            pulled = await run.timed(WEIGH, _compressed(image, under))
            arguments += ["--compressed-mb", *pulled]
        arguments += [*options, "--base-root=/base", f"--candidate-digest={await image.rootfs().digest()}"]
    if image and baseline and baseline.ours:
        judge, options = _running(judge, "baseline", baseline.image)
        arguments += options
    if image and baseline and baseline.digest:
        arguments.append(f"--baseline-digest={baseline.digest}")
    return await run.stage(JUDGE, judge, ["judge", *arguments, f"--output={OUTPUT}"])


async def _references(run: Run, rows: dagger.Directory) -> dagger.File:
    """Let simple models learn from the training rows, and answer the holdout."""
    container = run.environments.python().with_(with_pins("model", "data", "evaluate"))
    container = container.with_(with_programs(REFERENCES.program))
    container = container.with_new_file(CONFIG, settings.references(run.project))
    for name in ("train.parquet", "holdout.parquet"):
        container = container.with_file(f"{INPUT}/{name}", rows.file(name))
    arguments = [f"--config={CONFIG}", f"--train={INPUT}/train.parquet", f"--holdout={INPUT}/holdout.parquet"]
    arguments.append(f"--output={OUTPUT}/references.npz")
    return (await run.stage(REFERENCES, container, arguments)).output.file("references.npz")


async def _seen(
    run: Run,
    judge: dagger.Container,
    files: Mapping[str, dagger.File],
    split: dagger.Directory,
    image: dagger.Container,
    baseline: Baseline | None,
) -> Mapping[str, dagger.File]:
    """Let images and simple models answer the holdout, and the candidate start; return what they write."""
    container, arguments = _with_files(judge, files)
    arguments = ["prepare", *arguments, f"--output={OUTPUT}"]
    prepared = (await run.stage(PREPARE, container, arguments)).output
    rows, requests = prepared.file("holdout.npz"), prepared.file("requests.json")
    asked = {
        "predictions.npz": partial(_answers, run, CANDIDATE, image, rows),
        "references.npz": partial(_references, run, split),
    }
    if baseline:
        inputs = {"input.npz": rows, "model-json.json": files["model-json.json"]}
        asked["baseline-predictions.npz"] = partial(
            _answers_of_baseline, run, BASELINE, judge, baseline, inputs
        )
    answers = await side_by_side(*asked.values())
    # Alone: what runs beside it would slow it down.
    started = await _cold_start(run, image, requests)
    return {
        **dict(zip(asked, answers, strict=True)),
        "requests.json": requests,
        "start-metrics.json": started,
    }


async def _shadow(
    run: Run, judge: dagger.Container, signature: dagger.File, image: dagger.Container, baseline: Baseline
) -> Mapping[str, dagger.File]:
    """Let both images answer the recorded requests; return their answers."""
    path = run.project.data.requests or ""
    container = run.environments.tables().with_(with_programs(RECORDED.program))
    container = container.with_file(f"{INPUT}/model-json.json", signature)
    if "://" in path:
        container = container.with_mounted_directory(f"{DATA}/{storage.FOLDER}", await storage.objects(run))
    else:
        container = container.with_directory(DATA, await sources.data(run.source, [path]))
    arguments = ["--data", DATA, "--path", path, "--model-json", f"{INPUT}/model-json.json"]
    arguments += ["--output", f"{OUTPUT}/requests.npz"]
    prepared = await run.stage(RECORDED, container, arguments)
    rows = prepared.output.file("requests.npz")
    inputs = {"input.npz": rows, "model-json.json": signature}
    candidate, before = await side_by_side(
        partial(_answers, run, SHADOW_CANDIDATE, image, rows),
        partial(_answers_of_baseline, run, SHADOW_BASELINE, judge, baseline, inputs),
    )
    return {"recorded-predictions.npz": candidate, "baseline-recorded-predictions.npz": before}


def _with_files(
    container: dagger.Container, files: Mapping[str, dagger.File]
) -> tuple[dagger.Container, list[str]]:
    """Add files; return their options, which have their names."""
    for name, file in files.items():
        container = container.with_file(f"{INPUT}/{name}", file)
    return container, [f"--{name.partition('.')[0]}={INPUT}/{name}" for name in files]


def _running(
    container: dagger.Container, who: str, image: dagger.Container
) -> tuple[dagger.Container, list[str]]:
    """Bind an image as a service, and mount its files to measure their size; return the options."""
    container = container.with_service_binding(who, image.as_service(use_entrypoint=True))
    container = container.with_mounted_directory(f"/{who}", image.rootfs())
    return container, [f"--{who}-url=http://{who}:{PORT}", f"--{who}-root=/{who}"]


async def _compressed(*images: dagger.Container) -> list[str]:
    """Return the MB of images as a registry keeps them; publishing needs their layers in that form too."""
    return [f"{await image.as_tarball().size() / 1e6:.1f}" for image in images]


def asks_for_drift(project: Project) -> bool:
    """Say whether a gate is on what validate-data found; without one, moved data judges nothing again."""
    return any(metric == "drift_share" or metric.startswith("drift.") for metric in project.gates)


async def _answers(run: Run, stage: Stage, image: dagger.Container, rows: dagger.File) -> dagger.File:
    """Let an image answer rows through its own batch command, as its own user; see serving/contract.py."""
    writable = dag.directory()
    try:
        command = batch_command(await image.label(BATCH_COMMAND))
    except ValueError as error:
        raise StageError(stage.name, str(error), "build the image again") from None
    container = (
        image.with_mounted_file(f"{INPUT}/holdout.npz", rows)
        .with_directory(OUTPUT, writable, owner=str(USER))
        .with_directory(PurePath(OUTCOME).parent.as_posix(), writable, owner=str(USER))
    )
    arguments = ["--input", f"{INPUT}/holdout.npz", "--output", f"{OUTPUT}/predictions.npz"]
    finished = await run.stage(stage, container, arguments, command)
    return finished.output.file("predictions.npz")


async def _answers_of_baseline(
    run: Run, stage: Stage, judge: dagger.Container, baseline: Baseline, files: Mapping[str, dagger.File]
) -> dagger.File:
    """Let the baseline answer the rows in input.npz, an image of another maker as the service that it is."""
    image = baseline.image
    if baseline.ours:
        return await _answers(run, stage, image, files["input.npz"])
    ports = await image.exposed_ports()
    port = await ports[0].port() if ports else PORT
    container, arguments = _with_files(judge, files)
    container = container.with_service_binding("baseline", image.as_service(use_entrypoint=True))
    arguments += [f"--url=http://baseline:{port}", f"--name={run.project.name}"]
    arguments.append(f"--output={OUTPUT}/predictions.npz")
    finished = await run.stage(replace(stage, program=ASK), container, arguments)
    return finished.output.file("predictions.npz")


async def _cold_start(run: Run, image: dagger.Container, requests: dagger.File) -> dagger.File:
    """Time the image's own server from its start to its first prediction, in the image, as its own user."""
    path = programs.path(START.program)
    container = (
        image.with_mounted_file(f"{PROGRAMS}/{path}", own_file(f"src/{path}"))
        .with_mounted_file(f"{INPUT}/requests.json", requests)
        .with_directory(OUTPUT, dag.directory(), owner=str(USER))
        .with_directory(PurePath(OUTCOME).parent.as_posix(), dag.directory(), owner=str(USER))
    )
    arguments = ["--requests", f"{INPUT}/requests.json", "--output", OUTPUT]
    finished = await run.stage(START, container, arguments)
    return finished.output.file("metrics.json")
