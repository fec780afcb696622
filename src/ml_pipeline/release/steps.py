"""The steps of a release and of the way back; each may be done twice, and finds its own work done."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial

from ml_pipeline.cluster import watching
from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.errors import Unreachable
from ml_pipeline.cluster.fields import Object, annotations_of, integer, text
from ml_pipeline.cluster.objects import selector
from ml_pipeline.cluster.pods import Failed, Progressing, is_ending
from ml_pipeline.cluster.writes import apply_own, blind_s, persistently
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release import manifests, rollout, state
from ml_pipeline.release.ledger import LEDGER, Ledger, annotation
from ml_pipeline.release.manifests import Release
from ml_pipeline.release.prediction import predict
from ml_pipeline.release.rollout import Ready

POLL_S = 0.3


class Overruled(StageFailure):
    """Another changed what this call had applied: it is neither judged nor undone."""


def apply(
    cluster: Cluster, release: Release, name: str, template: Object | None = None, *, dry_run: bool = False
) -> Object:
    """Apply the Deployment `name` and return it; it never has fewer pods than before.

    `template` is an older release's own. Raises StageFailure.
    """

    def attempt() -> Object:
        deployment = cluster.get("deployments", name)
        if deployment is not None and is_ending(deployment):
            raise Unreachable(
                f"Deployment {name} is being deleted", "make the same call again when it is gone"
            )
        replicas = _replicas(release, deployment)
        manifest = manifests.deployment(dataclasses.replace(release, replicas=replicas), name, template)
        if deployment is not None:
            manifest = _if_unchanged(manifest, deployment)
        return apply_own(cluster, "deployments", manifest, manifests.is_own, dry_run=dry_run)

    return persistently(attempt)


def _replicas(release: Release, deployment: Object | None) -> int:
    """Return with how many pods a Deployment comes up: not fewer than it has, and as an autoscaler says."""
    if deployment is None:
        return release.replicas
    replicas = integer(deployment, "spec", "replicas")
    return replicas if replicas and state.is_autoscaled(deployment) else max(replicas, release.replicas)


def settle(
    cluster: Cluster,
    release: Release,
    applied: Object,
    early: Callable[[Sequence[str]], None] | None = None,
) -> tuple[Ready, Object]:
    """Wait until all pods of the Deployment that was applied are ready; return them and a prediction.

    The first pod that is ready is asked for it: a model that answers wrongly is found before the other pods
    follow. From then on `early` gets the pods that are ready, until all are. Raises StageFailure as soon as
    the pods will not get ready.
    """
    prediction: Object = {}

    def look(seconds: float) -> Progressing | Ready | Failed:
        nonlocal prediction
        judged = _look(cluster, release, applied, seconds)
        if not prediction and not isinstance(judged, Failed) and judged.pods:
            prediction = predict(cluster, release, judged.pods[0])
        if early and isinstance(judged, Progressing) and judged.pods:
            early(judged.pods)
        return judged

    return _watch(cluster, look), prediction


def wait_ready(cluster: Cluster, release: Release, applied: Object) -> Ready:
    """Wait until all pods of the Deployment that was applied are ready. Raises StageFailure."""
    return _watch(cluster, partial(_look, cluster, release, applied))


def _watch(cluster: Cluster, look: Callable[[float], Progressing | Ready | Failed]) -> Ready:
    return watching.watch(cluster, look, poll_s=POLL_S, blind_s=blind_s(), prefix="deploy: ")


def _look(
    cluster: Cluster, release: Release, applied: Object, seconds: float
) -> Progressing | Ready | Failed:
    name = text(applied, "metadata", "name")
    deployment = cluster.get("deployments", name)
    if deployment is None:
        return Failed("the Deployment was deleted during the release", "find out who deletes it")
    if rollout.template_of(deployment) != rollout.template_of(applied):
        cause = (
            f"another changed Deployment {name} during the release: now it has {rollout.image_of(deployment)}"
        )
        raise Overruled(f"{cause}; this call undoes nothing", "find out who did, and make the call again")
    labels = selector(name)
    replicasets, pods = cluster.list("replicasets", labels), cluster.list("pods", labels)
    judged = rollout.judge(deployment, replicasets, pods, is_timed=True)
    if seconds <= release.timeout_s:
        return judged
    if isinstance(judged, Progressing):
        return rollout.not_ready(rollout.newest_pods(deployment, replicasets, pods), release.timeout_s)
    return dataclasses.replace(judged, patience_s=0) if isinstance(judged, Failed) else judged


def serve(cluster: Cluster, release: Release, live: str, ledger: Ledger) -> None:
    """Send the traffic to the Deployment `live`, and record that: one write."""
    annotations = annotation(ledger)

    def attempt() -> None:
        service = cluster.get("services", release.name)
        if service is None:
            cluster.create("services", manifests.service(release, live, annotations))
            return
        is_recorded = text(annotations_of(service), LEDGER) == annotations[LEDGER]
        if not is_recorded or text(service, "spec", "selector", state.NAME) != live:
            patch: Object = {"metadata": {"annotations": annotations}, "spec": {"selector": selector(live)}}
            cluster.patch("services", release.name, _if_unchanged(patch, service))

    persistently(attempt)


def scale(cluster: Cluster, name: str, replicas: int) -> None:
    """Set how many pods a Deployment has, if it exists."""

    def attempt() -> None:
        deployment = cluster.get("deployments", name)
        if deployment is not None and integer(deployment, "spec", "replicas") != replicas:
            cluster.patch("deployments", name, _if_unchanged({"spec": {"replicas": replicas}}, deployment))

    persistently(attempt)


def restore(cluster: Cluster, release: Release, before: Object) -> None:
    """Bring a Deployment back to the template and the number of pods that it had."""
    name = text(before, "metadata", "name")

    def attempt() -> None:
        deployment = cluster.get("deployments", name)
        if deployment is None:
            return
        replicas = integer(before, "spec", "replicas")
        old = dataclasses.replace(
            release, image=rollout.image_of(before), version=state.version_of(before), replicas=replicas
        )
        manifest = manifests.deployment(old, name, rollout.template_of(before))
        if rollout.template_of(deployment) != rollout.template_of(before):
            manifest = _if_unchanged(manifest, deployment)
            apply_own(cluster, "deployments", manifest, manifests.is_own)

    persistently(attempt)
    scale(cluster, name, integer(before, "spec", "replicas"))


def delete(cluster: Cluster, kind: str, name: str) -> None:
    """Delete an object that this call made, and wait until its pods have ended; a namespace stays."""
    uid = text(persistently(lambda: cluster.get(kind, name)), "metadata", "uid")
    if not uid:
        return
    persistently(lambda: cluster.delete(kind, name, uid))
    deadline = time.monotonic() + manifests.GRACE_S + 30
    while text(persistently(lambda: cluster.get(kind, name)), "metadata", "uid") == uid:
        if time.monotonic() > deadline:
            raise StageFailure(f"the pods of {name} do not end", "look at their nodes")
        time.sleep(POLL_S)


def _if_unchanged(change: Object, thing: Object) -> Object:
    """Return a change that is refused if the object is no longer what was read."""
    metadata = change.get("metadata")
    version = {"resourceVersion": text(thing, "metadata", "resourceVersion")}
    return {**change, "metadata": {**(metadata if isinstance(metadata, dict) else {}), **version}}
