"""The whole way from source to release, and the report of how far a run came."""

import json
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import dagger
from dagger import dag

from ml_pipeline import baseline, data, gate, image, quality, release, sources, summary, tracking, training
from ml_pipeline.baseline import Baseline
from ml_pipeline.environments import with_pins, with_programs
from ml_pipeline.errors import PipelineError, StageError, StagesError
from ml_pipeline.release import Cluster, Registry
from ml_pipeline.run import OUTPUT, Run, side_by_side
from ml_pipeline.tracking import Tracker
from ml_pipeline.training import Trained
from ml_pipeline.training_cluster import Nodes

T = TypeVar("T")

INPUT = "/input"
REPORTER = ("measures.py", "summary.py", "wording.py", "stages/report.py", "stages/reporting/**")


async def judged(
    run: Run, compared: Baseline | None, nodes: Nodes | None = None, *, weighed: bool = False
) -> tuple[Trained, dagger.Container | None]:
    """Train, build and judge; return what passed the gate."""
    if gate.asks_for_drift(run.project) and "validate-data" not in run.outputs:
        await data.validate(run, compared)
    await image.check_gpu(run, "validate-gate")
    trained = await training.train(run, nodes)
    served = await image.build(run, trained) if run.project.serve.runtime else None
    notes = run.facts.setdefault("notes", [])
    if not served:
        notes.append("serve.runtime = false: no image was built")
    if compared and compared.runs and compared.version == trained.version:
        notes.append("the cluster runs this very model: the gates compare with thresholds only")
        compared = None
    await gate.validate(run, trained, served, compared, weighed=weighed)
    return trained, served


async def full(
    run: Run,
    registry: Registry | None,
    cluster: Cluster | None,
    given: dagger.Container | None,
    nodes: Nodes | None,
    tracker: Tracker | None,
) -> str:
    """Run every stage; return the Markdown summary, or raise with the stage that failed.

    The summary of a failed run goes to the log: the error alone would hide how far it came.
    """
    try:
        async with tracked(run, tracker):
            compared = await baseline.find(run, given, cluster)
            await check(run, compared)
            trained, served = await judged(run, compared, nodes)
            if served:
                await _ship(run, trained, served, registry, cluster)
    except PipelineError as failure:
        run.note(failure)
        print(markdown(run))
        raise
    return markdown(run)


@asynccontextmanager
async def tracked(run: Run, tracker: Tracker | None) -> AsyncIterator[None]:
    """Log to a tracker what the stages inside come to, also where one fails."""
    run.facts["revision"] = await sources.revision(run.source)
    if not tracker:
        yield
        return
    await tracking.begin(run, tracker)
    try:
        yield
    except (StageError, StagesError) as failure:
        run.note(failure)
        await _or_noted(run, tracking.log(run, tracker, document(run)))
        raise
    await tracking.log(run, tracker, document(run))


async def check(run: Run, compared: Baseline | None) -> None:
    """Lint, test and check the data side by side; raise with every failure."""
    await side_by_side(
        lambda: quality.lint(run), lambda: quality.test(run), lambda: data.validate(run, compared)
    )


async def _ship(
    run: Run,
    trained: Trained,
    served: dagger.Container,
    registry: Registry | None,
    cluster: Cluster | None,
) -> None:
    notes = run.facts.setdefault("notes", [])
    if not registry:
        notes.append(
            "no --registry: the image was not published" + (", so nothing is deployed" if cluster else "")
        )
        return
    reference = await release.publish(run, served, registry, trained.version)
    if not cluster:
        notes.append("no --kubeconfig: nothing was deployed")
        return
    await release.deploy(run, cluster, reference, trained.version)


def servable(served: dagger.Container | None) -> dagger.Container:
    if not served:
        raise StageError("publish", "serve.runtime = false builds no image", "set it to onnx or python")
    return served


def markdown(run: Run) -> str:
    return summary.markdown(document(run))


# What a stage found out, by the name that the summary knows it under.
FINDINGS = {
    "validate-data": "data",
    "train": "training",
    "inspect-model": "model",
    "validate-gate": "verdict",
    "test": "tests",
}


def document(run: Run) -> dict[str, Any]:
    """Return what is known of a run, as the summary reads it."""
    failed = any(record["status"] != "passed" for record in run.records)
    findings = {
        FINDINGS[r["stage"]]: r["details"] for r in run.records if r["stage"] in FINDINGS and r["details"]
    }
    stages = [{key: value for key, value in record.items() if key != "details"} for record in run.records]
    status = "failed" if failed else "passed"
    took = {"seconds": time.time() - run.started, "price_per_hour": run.project.price_per_hour}
    return {"name": run.project.name, "status": status, "stages": stages, **took, **run.facts, **findings}


async def _or_noted(run: Run, work: Awaitable[T]) -> T | None:
    """Let a failure be in the report only; without a result the parts after it do what they can."""
    try:
        return await work
    except PipelineError as failure:
        run.note(failure)
        print(failure)
        return None


async def report(run: Run, given: dagger.Container | None) -> dagger.Directory:
    """Run everything up to the gate, whatever fails, and return the folder to look at."""
    run.facts["revision"] = await sources.revision(run.source)
    compared = await _or_noted(run, baseline.find(run, given, None))
    await _or_noted(run, check(run, compared))
    await _or_noted(run, judged(run, compared, weighed=True))
    known = document(run)
    findings = {"data", "model", "verdict"}  # these have files of their own
    pipeline = {key: value for key, value in known.items() if key not in findings}
    folder = dag.directory().with_new_file("pipeline.json", json.dumps(pipeline, indent=1))
    wanted = {
        "data.json": ("validate-data", "report.json"),
        "junit.xml": ("test", "junit.xml"),
        "history.csv": ("train", "history.csv"),
        "model.json": ("inspect-model", "model.json"),
        "verdict.json": ("validate-gate", "verdict.json"),
    }
    for name, (stage, path) in wanted.items():
        output = run.outputs.get(stage)
        if output and path in await output.entries():
            folder = folder.with_file(name, output.file(path))
    container = (
        run.environments.python()
        .with_(with_pins("report"))
        .with_(with_programs(*REPORTER))
        .with_directory(INPUT, folder)
    )
    return (await run.stage("report", container, "report", ["--input", INPUT, "--output", OUTPUT])).output
