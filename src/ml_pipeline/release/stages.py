"""Releases on Kubernetes: `deploy`, `rollback`, and the image that runs now."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagger
from dagger import dag

from ml_pipeline.cluster.access import Cluster, connected
from ml_pipeline.common.document import ReleaseRecord, part
from ml_pipeline.engine.run import Finished, Run
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import StageError
from ml_pipeline.project import settings
from ml_pipeline.serving.contract import DRAIN, VERSION

_PROGRAM = "ml_pipeline.release.deploy"
DEPLOY = Stage("deploy", _PROGRAM, ("the image's reference",))
ROLLBACK = Stage("rollback", _PROGRAM)
HISTORY = Stage("history", _PROGRAM)
STATUS = Stage("baseline", _PROGRAM)


@dataclass(frozen=True)
class Caller:
    """Who releases, for the ledger ("": the kubeconfig's user), and whether against a mark in it."""

    name: str = ""
    force: bool = False

    @property
    def flags(self) -> list[str]:
        """The program's flags."""
        return ["--force"] if self.force else []


@dataclass(frozen=True)
class _Labels:
    version: str | None = None
    drains: bool = False


@dataclass(frozen=True)
class _Status:
    """The good releases, newest first, as the status program reports them."""

    good: tuple[Mapping[str, str | None], ...] = ()


async def deploy(
    run: Run, cluster: Cluster, image: str, caller: Caller, version: str | None = None
) -> Finished:
    """Release an image by digest; the details are the release record.

    `version` is its model's; without it, the label of the image says it.
    """
    if "@sha256:" not in image:
        raise StageError(DEPLOY.name, f"{image} has no digest", "pass the reference that publish returned")
    is_own = bool(version)
    labels = _Labels(version, drains=True) if is_own else await _labels(image)
    commit = run.revision if is_own else None  # of an image from elsewhere this source may not be the one
    document = settings.deploy(
        run.project,
        image,
        labels.version,
        by=caller.name,
        commit=commit,
        verdict=_verdict(run),
        drains=labels.drains,
    )
    return await _act(run, cluster, DEPLOY, document, ["release", *caller.flags])


def _verdict(run: Run) -> str | None:
    """Return how the gate judged the image of this run; None if no gate ran."""
    verdict = run.details.get("verdict")
    return None if verdict is None else "passed" if verdict.get("passed") else "failed"


async def _labels(image: str) -> _Labels:
    """Return what the image's labels say; nothing if the engine may not pull it, as the cluster may."""
    try:
        container = dag.container().from_(image)
        return _Labels(await container.label(VERSION), drains=bool(await container.label(DRAIN)))
    except dagger.QueryError:
        return _Labels()


async def running(run: Run, cluster: Cluster) -> str | None:
    """Return the image of the last good release, by digest; None if there is none."""
    finished = await _ask(run, cluster, STATUS, settings.deploy(run.project, "", None), ["status"])
    good = part(_Status, finished.details, "status").good
    return good[0]["image"] if good else None


async def rollback(run: Run, cluster: Cluster, caller: Caller, to: str | None = None) -> Finished:
    """Go back to the release `to`, or to the previous good one; the details are the release record."""
    document = settings.deploy(run.project, "", None, by=caller.name)
    target = [f"--to={to}"] if to else []
    return await _act(run, cluster, ROLLBACK, document, ["rollback", *target, *caller.flags])


async def history(run: Run, cluster: Cluster, *, as_json: bool) -> str:
    """Return the last releases and how each ended, as a table of text or as JSON."""
    finished = await _ask(run, cluster, HISTORY, settings.deploy(run.project, "", None), ["history"])
    return json.dumps(finished.details["releases"], indent=2) if as_json else await finished.text()


async def _act(run: Run, cluster: Cluster, stage: Stage, document: str, words: Sequence[str]) -> Finished:
    finished = await _ask(run, cluster, stage, document, words)
    run.release = part(ReleaseRecord, finished.details, "release")
    run.notes.extend(run.release.notes)
    return finished


async def _ask(run: Run, cluster: Cluster, stage: Stage, document: str, words: Sequence[str]) -> Finished:
    container, flags = await connected(run, stage, cluster, document)
    # Neither a change of the cluster nor its state may come from the cache.
    container = container.with_env_variable("ML_CALL", str(time.time_ns()))
    return await run.stage(stage, container, [*words, *flags])


def as_text(record: Finished) -> str:
    return json.dumps(record.details, indent=2)
