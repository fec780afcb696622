"""Releases on Kubernetes: `deploy`, `rollback`, and the image that runs now."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

import dagger
from dagger import dag

from ml_pipeline.cluster.access import Cluster, connected
from ml_pipeline.common.document import ReleaseRecord, part
from ml_pipeline.engine.run import Finished, Run
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import StageError
from ml_pipeline.project import settings
from ml_pipeline.serving.contract import VERSION

_PROGRAM = "ml_pipeline.release.deploy"
DEPLOY = Stage("deploy", _PROGRAM, ("the image's reference",))
ROLLBACK = Stage("rollback", _PROGRAM)
STATUS = Stage("baseline", _PROGRAM)


@dataclass(frozen=True)
class _Status:
    """The good releases, newest first, as the status program reports them."""

    good: tuple[Mapping[str, str | None], ...] = ()


async def deploy(run: Run, cluster: Cluster, image: str, version: str | None = None) -> Finished:
    """Release an image by digest; the details are the release record.

    `version` is its model's; without it, the label of the image says it.
    """
    if "@sha256:" not in image:
        raise StageError(DEPLOY.name, f"{image} has no digest", "pass the reference that publish returned")
    document = settings.deploy(run.project, image, version or await _version(image))
    return await _act(run, cluster, DEPLOY, "release", document)


async def _version(image: str) -> str | None:
    """Return the image's label; None where the engine may not pull the image, which the cluster may."""
    try:
        return await dag.container().from_(image).label(VERSION)
    except dagger.QueryError:
        return None


async def running(run: Run, cluster: Cluster) -> str | None:
    """Return the image of the last good release, by digest; None where there is none."""
    finished = await _ask(run, cluster, STATUS, "status", settings.deploy(run.project, "", None))
    good = part(_Status, finished.details, "status").good
    return good[0]["image"] if good else None


async def rollback(run: Run, cluster: Cluster) -> Finished:
    """Go back to the previous good release; the details are the release record."""
    return await _act(run, cluster, ROLLBACK, "rollback", settings.deploy(run.project, "", None))


async def _act(run: Run, cluster: Cluster, stage: Stage, action: str, document: str) -> Finished:
    finished = await _ask(run, cluster, stage, action, document)
    run.release = part(ReleaseRecord, finished.details, "release")
    return finished


async def _ask(run: Run, cluster: Cluster, stage: Stage, action: str, document: str) -> Finished:
    container, flags = await connected(run, stage, cluster, document)
    # Neither a change of the cluster nor its state may come from the cache.
    container = container.with_env_variable("ML_CALL", str(time.time_ns()))
    return await run.stage(stage, container, [action, *flags])


def as_text(record: Finished) -> str:
    return json.dumps(record.details, indent=2)
