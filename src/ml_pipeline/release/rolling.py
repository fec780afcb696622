"""The steps of a rolling release: apply it, wait until it is ready and gave a prediction, undo it."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial

from ml_pipeline.cluster import objects, watching
from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.errors import Refused
from ml_pipeline.cluster.fields import Object
from ml_pipeline.cluster.objects import selector
from ml_pipeline.cluster.pods import Failed, Progressing
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release import history, manifests, rollout
from ml_pipeline.release.history import GoodRelease
from ml_pipeline.release.manifests import Release
from ml_pipeline.release.prediction import predict
from ml_pipeline.release.rollout import Ready

POLL_S = 0.3
BLIND_S = 30  # an API server that restarts is waited for this long
UNDO_S = 60  # the least: a short timeout of the release must not cut its undo short


def apply(cluster: Cluster, release: Release, *, first: bool) -> Object:
    """Apply the Service and the Deployment, in a new namespace where there is none; return the Deployment.

    When this is refused, all stays as it was; of a `first` release nothing stays.
    """
    try:
        cluster.apply("services", manifests.service(release))
    except Refused as refused:
        if refused.code != 404:
            raise
        cluster.create_namespace(objects.namespace(release.namespace))
        cluster.apply("services", manifests.service(release))
    try:
        return cluster.apply("deployments", manifests.deployment(release))
    except Refused:
        if first:
            cluster.delete("services", release.name)
        raise


def judge(cluster: Cluster, name: str, overdue_s: float | None = None) -> Progressing | Ready | Failed:
    """Look once. With `overdue_s`, what is still progressing after so many seconds has failed."""
    deployment = cluster.get("deployments", name)
    if deployment is None:
        return Failed("the Deployment was deleted during the release", "find out who deletes it")
    replicasets, pods = (cluster.list(kind, selector(name)) for kind in ("replicasets", "pods"))
    state = rollout.judge(deployment, replicasets, pods)
    if isinstance(state, Progressing) and overdue_s is not None:
        return rollout.not_ready(rollout.newest_pods(deployment, replicasets, pods), overdue_s)
    return state


def settle(cluster: Cluster, release: Release) -> tuple[Ready, Object]:
    """Wait until the newest revision is ready; return that and a prediction.

    The first pod that is ready is asked for it: a model that answers wrongly is found before the other pods
    follow. Raises StageFailure as soon as the revision will not get ready.
    """
    prediction: Object = {}

    def look(seconds: float) -> Progressing | Ready | Failed:
        nonlocal prediction
        state = _look(cluster, release, seconds)
        if not prediction and not isinstance(state, Failed) and state.pods:
            prediction = predict(cluster, release, state.pods[0])
        return state

    return _watch(cluster, look), prediction


def _watch(cluster: Cluster, look: Callable[[float], Progressing | Ready | Failed]) -> Ready:
    return watching.watch(cluster, look, poll_s=POLL_S, blind_s=BLIND_S, prefix="deploy: ")


def _look(cluster: Cluster, release: Release, seconds: float) -> Progressing | Ready | Failed:
    is_late = seconds > release.timeout_s
    state = judge(cluster, release.name, seconds if is_late else None)
    return dataclasses.replace(state, patience_s=0) if is_late and isinstance(state, Failed) else state


def write_history(cluster: Cluster, name: str, good: tuple[GoodRelease, ...]) -> None:
    """Make the Deployment remember which releases were good, newest first."""
    cluster.annotate("deployments", name, history.annotation(good))


def undo(
    cluster: Cluster, release: Release, failure: StageFailure, good: tuple[GoodRelease, ...]
) -> StageFailure:
    """Go back to the last good release, or to nothing where there is none; return what to raise."""
    print(f"deploy: {failure.cause}; undoing", flush=True)
    details = {"action": "undone", "name": release.name, "namespace": release.namespace}
    details["image"] = release.image
    try:
        replicasets = cluster.list("replicasets", selector(release.name))
        kept = history.kept(good, replicasets)
        if kept:
            old = _released(release, kept[0])
            cluster.apply("deployments", manifests.deployment(old, history.template(kept[0], replicasets)))
            write_history(cluster, release.name, good)
            patient = dataclasses.replace(old, timeout_s=max(UNDO_S, release.timeout_s))
            _watch(cluster, partial(_look, cluster, patient))
            outcome, details["serving"] = f"the last good one ({old.digest}) is serving", old.image
        else:
            _delete(cluster, release.name)
            outcome = "nothing is serving, because no release before it was good"
    except StageFailure as second:
        details["action"] = "broken"
        cause = f"{failure.cause}; the undo failed too: {second.cause}"
        return StageFailure(cause, "make the same call again when the cluster works", details)
    return StageFailure(f"{failure.cause}; the release was undone, and {outcome}", failure.hint, details)


def _released(release: Release, last: GoodRelease) -> Release:
    """Return what a good release of the same Deployment was."""
    return Release(release.name, release.namespace, last.image, last.version, last.replicas, last.timeout_s)


def _delete(cluster: Cluster, name: str) -> None:
    """Delete Service and Deployment; a namespace stays, for others may use it by now."""
    cluster.delete("services", name)
    cluster.delete("deployments", name)
    deadline = time.monotonic() + manifests.GRACE_S + 30
    while cluster.get("deployments", name) is not None:
        if time.monotonic() > deadline:
            raise StageFailure(f"the pods of {name} do not end", "look at their nodes")
        time.sleep(POLL_S)
