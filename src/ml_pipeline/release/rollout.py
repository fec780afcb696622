"""Where a Deployment's rollout stands; decisions over plain Kubernetes objects, pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ml_pipeline.cluster.fields import (
    Object,
    annotations_of,
    at,
    containers_of,
    integer,
    name_of,
    objects,
    table,
    text,
)
from ml_pipeline.cluster.pods import (
    Failed,
    Progressing,
    condition_of,
    container_statuses,
    holds,
    lives,
    pod_problem,
)
from ml_pipeline.common.lines import one_line

REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"  # the controller's own label: no part of the template


@dataclass(frozen=True)
class Ready:
    """All pods are of the Deployment's template, and available; no other pod is left."""

    replicaset: str
    pods: tuple[str, ...]


def digest(image: str) -> str:
    """Return `sha256:…` of an image's reference, "" if it has none."""
    match = re.search(r"@(sha256:[0-9a-f]{64})$", image)
    return match[1] if match else ""


def image_of(thing: Object) -> str:
    """Return the image in the pod template of a Deployment or a ReplicaSet."""
    return text(next(iter(containers_of(thing)), None), "image")


def template_of(thing: Object) -> Object:
    """Return the pod template of a Deployment or a ReplicaSet, without what a controller added."""
    template = table(thing, "spec", "template")
    metadata = {key: value for key, value in table(template, "metadata").items() if value is not None}
    metadata["labels"] = {key: value for key, value in table(metadata, "labels").items() if key != HASH}
    return {"metadata": metadata, "spec": table(template, "spec")}


def judge(
    deployment: Object, replicasets: Sequence[Object], pods: Sequence[Object], *, is_timed: bool = False
) -> Progressing | Ready | Failed:
    """Return where the pods of the Deployment's template stand.

    `replicasets` and `pods` may hold others' too: owner references tell them apart. `is_timed`: the caller
    counts the time itself. The cluster keeps saying for a while that the template before was overdue.
    """
    replicas = integer(deployment, "spec", "replicas")
    if at(deployment, "spec", "paused") is True:
        name = name_of(deployment)
        return Failed(
            f"the rollout of Deployment {name} is paused", f"kubectl rollout resume deployment/{name}"
        )
    if integer(deployment, "status", "observedGeneration") < integer(deployment, "metadata", "generation"):
        return Progressing("the cluster has not started on it")
    newest = newest_pods(deployment, replicasets, pods)
    problem = (
        _refused(deployment)
        or next(filter(None, map(pod_problem, newest)), None)
        or (None if is_timed else _overdue(deployment, newest))
    )
    if problem:
        return problem
    updated, total, available = (
        integer(deployment, "status", key) for key in ("updatedReplicas", "replicas", "availableReplicas")
    )
    ready = tuple(sorted(name_of(pod) for pod in newest if holds(pod, "Ready")))
    current = live_replicaset(deployment, replicasets)
    if current and updated == total == available == replicas == len(ready):
        return Ready(name_of(current), ready)
    progress, old = f"{len(ready)} of {replicas} pods ready", total - updated
    return Progressing(f"{progress}, {old} old" if old > 0 else progress, ready)


def newest_pods(deployment: Object, replicasets: Sequence[Object], pods: Sequence[Object]) -> list[Object]:
    """Return the pods of the Deployment's template that have not ended and are not about to."""
    current = live_replicaset(deployment, replicasets)
    return pods_of(current, pods) if current else []


def pods_of(owner: Object, pods: Sequence[Object]) -> list[Object]:
    """Return the pods of a ReplicaSet that have not ended and are not about to."""
    uid = text(owner, "metadata", "uid")
    return [pod for pod in pods if uid and _owner(pod) == uid and lives(pod)]


def replicasets_of(deployment: Object, replicasets: Sequence[Object]) -> list[Object]:
    """Return the Deployment's own ReplicaSets, the one of the newest revision first."""
    uid = text(deployment, "metadata", "uid")
    return sorted((each for each in replicasets if _owner(each) == uid), key=revision, reverse=True)


def live_replicaset(deployment: Object, replicasets: Sequence[Object]) -> Object | None:
    """Return the ReplicaSet of the Deployment's template: None until its controller has made it.

    Templates are compared, not revisions: those name a template only after the controller has seen it.
    """
    template = template_of(deployment)
    owned = replicasets_of(deployment, replicasets)
    return next((each for each in owned if template_of(each) == template), None)


def revision(thing: Object) -> int:
    """Return the revision of a Deployment or a ReplicaSet, 0 where it has none yet."""
    return int(text(annotations_of(thing), REVISION) or 0)


def not_ready(pods: Sequence[Object], seconds: float) -> Failed:
    """Say why time ran out: the first pod that is not ready, and what it lacks."""
    late = next((pod for pod in pods if not holds(pod, "Ready")), None)
    if late is None:
        return Failed(f"the release was not complete after {seconds:.0f} s", "raise deploy.timeout")
    running = any(at(container, "state", "running") is not None for container in container_statuses(late))
    why = "runs, but /ready does not answer 200" if running else "has not started its container"
    return Failed(
        f"pod {name_of(late)} {why} after {seconds:.0f} s",
        "fix the image's start, or raise deploy.timeout",
        pod=name_of(late) if running else None,
    )


def _refused(deployment: Object) -> Failed | None:
    condition = condition_of(deployment, "ReplicaFailure")
    if text(condition, "status") != "True":
        return None
    # A new namespace has no service account for a moment, and a quota waits for pods that end.
    return Failed(
        f"the cluster creates no pod: {one_line(text(condition, 'message'))}",
        "change what forbids it (quota, pod security, admission)",
        patience_s=15,
    )


def _overdue(deployment: Object, pods: Sequence[Object]) -> Failed | None:
    condition = condition_of(deployment, "Progressing")
    is_late = text(condition, "reason") == "ProgressDeadlineExceeded"
    if text(condition, "status") == "False" and is_late:
        return not_ready(pods, integer(deployment, "spec", "progressDeadlineSeconds"))
    return None


def _owner(thing: Object) -> str | None:
    """Return the uid of the controller that owns an object."""
    owners = objects(thing, "metadata", "ownerReferences")
    return next((text(owner, "uid") for owner in owners if at(owner, "controller")), None)
