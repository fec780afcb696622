"""The order of a run: from source to release, and to the report of how far it came."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

import dagger
from dagger import dag

from ml_pipeline.checks import stages as checks
from ml_pipeline.cluster.access import Cluster
from ml_pipeline.data import objects
from ml_pipeline.data import stages as data
from ml_pipeline.engine import sources
from ml_pipeline.engine.run import Finished, Run, side_by_side
from ml_pipeline.errors import PipelineError, StageError, StagesError
from ml_pipeline.gate import baseline
from ml_pipeline.gate import stages as gate
from ml_pipeline.gate.baseline import Baseline
from ml_pipeline.model.stages import INSPECT, Trained
from ml_pipeline.publishing import stages as publishing
from ml_pipeline.publishing.reproducible import PACK, PUBLISH
from ml_pipeline.publishing.stages import Registry
from ml_pipeline.release import stages as release
from ml_pipeline.release.stages import Caller
from ml_pipeline.report import stages as reporting
from ml_pipeline.report import summary
from ml_pipeline.serving import stages as serving
from ml_pipeline.tracking import stages as tracking
from ml_pipeline.tracking.stages import Tracker
from ml_pipeline.training import nodes as training_nodes
from ml_pipeline.training import stages as training
from ml_pipeline.training.nodes import Nodes

T = TypeVar("T")

# In the order of a whole run; each call runs some of them. Training on nodes has the name of `train` too.
STAGES = (
    tracking.OPEN,
    release.STATUS,
    objects.LIST,
    objects.FETCH,
    checks.LINT,
    checks.TEST,
    data.VALIDATE,
    data.SPLIT,
    training_nodes.PUBLISH,
    training.TRAIN,
    INSPECT,
    serving.BUILD,
    gate.REFERENCES,
    gate.PREPARE,
    gate.CANDIDATE,
    gate.BASELINE,
    gate.START,
    gate.RECORDED,
    gate.SHADOW_CANDIDATE,
    gate.SHADOW_BASELINE,
    gate.WEIGH,
    gate.JUDGE,
    PACK,
    PUBLISH,
    release.DEPLOY,
    release.ROLLBACK,
    release.HISTORY,
    tracking.TRACK,
    reporting.REPORT,
)


async def find_baseline(run: Run, image: dagger.Container | None, cluster: Cluster | None) -> Baseline | None:
    """Return the image of --baseline, or else the one that the cluster runs, or None; the notes say which.

    Raises StageError where the image can't be pulled.
    """
    if image:
        return await baseline.opened("--baseline", image, runs=False)
    reference = await release.running(run, cluster) if cluster else None
    if not reference:
        run.notes.append("no baseline: the gates compare with thresholds only")
        return None
    run.notes.append(f"the baseline is what the cluster runs: {reference}")
    return await baseline.opened(reference, dag.container().from_(reference), runs=True)


async def judged(
    run: Run, compared: Baseline | None, nodes: Nodes | None = None, *, weighed: bool = False
) -> tuple[Trained, dagger.Container | None]:
    """Train, build and judge; return what passed the gate."""
    if gate.asks_for_drift(run.project) and data.VALIDATE.name not in run.outputs:
        await data.validate(run, compared.record if compared else None)
    await serving.check_gpu(run, gate.JUDGE.name)
    trained = await training.train(run, nodes)
    served = await serving.build(run, trained) if run.project.serve.runtime else None
    if not served:
        run.notes.append("serve.runtime = false: no image was built")
    if compared and compared.runs and compared.version == trained.version:
        run.notes.append("the cluster already runs this model: the gates compare with thresholds only")
        compared = None
    await gate.validate(run, trained, served, compared, weighed=weighed)
    return trained, served


async def full(
    run: Run,
    registry: Registry | None,
    cluster: Cluster | None,
    baseline_image: dagger.Container | None,
    nodes: Nodes | None,
    tracker: Tracker | None,
    caller: Caller,
) -> str:
    """Run every stage; return the Markdown summary, or raise with the stage that failed.

    The summary of a failed run goes to the log: the error alone would hide how far it came.
    """
    try:
        async with tracked(run, tracker):
            compared = await find_baseline(run, baseline_image, cluster)
            await check(run, compared)
            trained, served = await judged(run, compared, nodes)
            if served:
                await _ship(run, trained, served, registry, cluster, caller)
    except PipelineError as failure:
        run.note(failure)
        print(markdown(run))
        raise
    return markdown(run)


@asynccontextmanager
async def tracked(run: Run, tracker: Tracker | None) -> AsyncIterator[None]:
    """Log to a tracker what the stages inside come to, also where one fails."""
    run.revision = await sources.revision(run.source)
    if not tracker:
        yield
        return
    await tracking.begin(run, tracker)
    try:
        yield
    except (StageError, StagesError) as failure:
        run.note(failure)
        await _or_noted(run, tracking.log(run, tracker))
        raise
    await tracking.log(run, tracker)


async def check(run: Run, compared: Baseline | None) -> None:
    """Lint, test and check the data side by side; raise with every failure."""
    await side_by_side(
        lambda: checks.lint(run),
        lambda: checks.test(run, optional=not run.project.tests.required),
        lambda: data.validate(run, compared.record if compared else None),
    )


async def _ship(
    run: Run,
    trained: Trained,
    served: dagger.Container,
    registry: Registry | None,
    cluster: Cluster | None,
    caller: Caller,
) -> None:
    if not registry:
        run.notes.append(
            "no --registry: the image was not published" + (", so nothing is deployed" if cluster else "")
        )
        return
    reference = await publishing.publish(run, served, registry, trained.version)
    if not cluster:
        run.notes.append("no --kubeconfig: nothing was deployed")
        return
    await release.deploy(run, cluster, reference, caller, trained.version)


async def deploy(run: Run, cluster: Cluster, image: str, tracker: Tracker | None, caller: Caller) -> str:
    """Release an image; return the release record as JSON."""
    if tracker:
        await tracking.begin(run, tracker)
    return await _log_release(run, tracker, await release.deploy(run, cluster, image, caller))


async def rollback(
    run: Run, cluster: Cluster, tracker: Tracker | None, caller: Caller, to: str | None = None
) -> str:
    """Go back to the release `to`, or to the previous good one; return the release record as JSON.

    The tracker is only asked afterwards: a server that is down must not prevent a rollback.
    """
    return await _log_release(run, tracker, await release.rollback(run, cluster, caller, to))


async def _log_release(run: Run, tracker: Tracker | None, finished: Finished) -> str:
    """Log the released version; where that fails the log has the record, which the error would hide."""
    record = release.as_text(finished)
    if tracker:
        try:
            await tracking.released(run, tracker)
        except StageError:
            print(record)
            raise
    return record


def servable(served: dagger.Container | None) -> dagger.Container:
    if not served:
        raise StageError(PUBLISH.name, "serve.runtime = false builds no image", "set it to onnx or python")
    return served


def markdown(run: Run) -> str:
    return summary.markdown(run.document())


async def _or_noted(run: Run, work: Awaitable[T]) -> T | None:
    """Let a failure be in the report only; without a result the parts after it do what they can."""
    try:
        return await work
    except PipelineError as failure:
        run.note(failure)
        print(failure)
        return None


async def report(run: Run, baseline_image: dagger.Container | None) -> dagger.Directory:
    """Run everything up to the gate, whatever fails, and return the folder to look at."""
    run.revision = await sources.revision(run.source)
    compared = await _or_noted(run, find_baseline(run, baseline_image, None))
    await _or_noted(run, check(run, compared))
    await _or_noted(run, judged(run, compared, weighed=True))
    return await reporting.write(run)
