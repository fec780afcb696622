"""Where a rollout stands, and where it goes back to: decisions over plain Kubernetes objects; pure.

A Deployment remembers in an annotation which of its ReplicaSets were good, that is, gave a
real prediction. Only those are ever gone back to, so a release that was killed half-way
is never mistaken for the one before it.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_pipeline.common.lines import last_line, one_line

GOOD = "ml-pipeline/good-releases"
REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"  # the controller's own label: no part of the template
REMEMBERED = 10

_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_CREATE = {"CreateContainerError", "CreateContainerConfigError", "CreatePodSandboxError", "RunContainerError"}

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Progressing:
    """Not there yet; `text` is what it waits for, `pods` are the new ones that are ready."""

    text: str
    pods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ready:
    """All pods are of the newest revision, and available; no other pod is left."""

    replicaset: str
    revision: int
    pods: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """It will not get ready by itself.

    `patience_s`: how long this may last before it counts, for what often passes by itself.
    `pod`: whose last log line tells more, if any.
    """

    cause: str
    hint: str
    patience_s: float = 0
    pod: str | None = None


@dataclass(frozen=True)
class GoodRelease:
    """A release that was whole and gave a prediction."""

    replicaset: str
    image: str
    version: str | None
    replicas: int
    timeout_s: int


def judge(
    deployment: Object, replicasets: Sequence[Object], pods: Sequence[Object]
) -> Progressing | Ready | Failed:
    """Say where the newest revision of `deployment` stands.

    `replicasets` and `pods` may hold others' too: owner references tell them apart.
    """
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return Progressing("the cluster has not taken it up")
    own = newest_pods(deployment, replicasets, pods)
    problem = (
        _refused(deployment) or next(filter(None, map(pod_problem, own)), None) or _overdue(deployment, own)
    )
    if problem:
        return problem
    counts = [status.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas")]
    ready = tuple(sorted(p["metadata"]["name"] for p in own if holds(p, "Ready")))
    current = live_replicaset(deployment, replicasets)
    if current and counts == [wanted] * 3 and len(ready) == wanted:
        return Ready(current["metadata"]["name"], _revision(current), ready)
    old = counts[1] - counts[0]
    text = f"{len(ready)} of {wanted} pods ready"
    return Progressing(f"{text}, {old} old" if old > 0 else text, ready)


def newest_pods(deployment: Object, replicasets: Sequence[Object], pods: Sequence[Object]) -> list[Object]:
    """The pods of the newest revision that have not ended and are not told to end."""
    current = live_replicaset(deployment, replicasets)
    return [p for p in pods if current and _owner(p) == current["metadata"]["uid"] and _lives(p)]


def not_ready(pods: Sequence[Object], seconds: float) -> Failed:
    """Say why time ran out: the first pod that is not ready, and what it lacks."""
    late = next((p for p in pods if not holds(p, "Ready")), None)
    if late is None:
        return Failed(f"the release was not whole after {seconds:.0f} s", "raise deploy.timeout")
    name = late["metadata"]["name"]
    running = any(
        "running" in c.get("state", {}) for c in late.get("status", {}).get("containerStatuses", ())
    )
    why = "runs, but /ready does not answer 200" if running else "has not started its container"
    return Failed(
        f"pod {name} {why} after {seconds:.0f} s",
        "mend the image's start or raise deploy.timeout",
        pod=name if running else None,
    )


def live_replicaset(deployment: Object | None, replicasets: Sequence[Object]) -> Object | None:
    """The ReplicaSet of the Deployment's newest revision: None until its controller has made it."""
    if deployment is None:
        return None
    revision = deployment["metadata"].get("annotations", {}).get(REVISION)
    for replicaset in replicasets:
        mine = _owner(replicaset) == deployment["metadata"]["uid"]
        if mine and replicaset["metadata"].get("annotations", {}).get(REVISION) == revision:
            return replicaset
    return None


def history(deployment: Object | None) -> tuple[GoodRelease, ...]:
    """The good releases, newest first; empty where the annotation is absent or not ours to read."""
    if deployment is None:
        return ()
    try:
        entries = json.loads(deployment["metadata"].get("annotations", {}).get(GOOD, "[]"))
        return tuple(GoodRelease(**entry) for entry in entries)
    except (ValueError, TypeError):
        return ()


def annotation(good: Sequence[GoodRelease]) -> dict[str, str]:
    """The annotation that `history` reads."""
    return {GOOD: json.dumps([dataclasses.asdict(entry) for entry in good])}


def remember(good: Sequence[GoodRelease], newest: GoodRelease) -> tuple[GoodRelease, ...]:
    """The history with `newest` at its head, each ReplicaSet in it once."""
    others = [entry for entry in good if entry.replicaset != newest.replicaset]
    return (newest, *others)[:REMEMBERED]


def rollback_history(deployment: Object, replicasets: Sequence[Object]) -> tuple[GoodRelease, ...]:
    """The history from the release on that a rollback goes to; empty where there is none.

    That is the good release before the live one; where the live one was never good (a kill
    half-way), the last good one. A rollback forgets what it leaves: the next goes further back.
    """
    good = kept(history(deployment), replicasets)
    live = live_replicaset(deployment, replicasets)
    name = live["metadata"]["name"] if live else ""
    for position, entry in enumerate(good):
        if entry.replicaset == name:
            return good[position + 1 :]
    return good


def kept(good: Sequence[GoodRelease], replicasets: Sequence[Object]) -> tuple[GoodRelease, ...]:
    """Those whose ReplicaSet still exists: Kubernetes keeps only so many."""
    names = {r["metadata"]["name"] for r in replicasets}
    return tuple(entry for entry in good if entry.replicaset in names)


def template(entry: GoodRelease, replicasets: Sequence[Object]) -> dict[str, Any]:
    """The pod template of a good release, as it ran. Raises StopIteration where its ReplicaSet is gone."""
    replicaset = next(r for r in replicasets if r["metadata"]["name"] == entry.replicaset)
    found = replicaset["spec"]["template"]
    metadata = {k: v for k, v in found["metadata"].items() if v is not None}
    metadata["labels"] = {k: v for k, v in metadata["labels"].items() if k != HASH}
    return {"metadata": metadata, "spec": found["spec"]}


def _refused(deployment: Object) -> Failed | None:
    condition = condition_of(deployment, "ReplicaFailure")
    if condition.get("status") != "True":
        return None
    # A new namespace has no service account for a moment, and a quota waits for pods that end.
    return Failed(
        f"the cluster creates no pod: {one_line(condition.get('message') or '')}",
        "change what forbids it (quota, pod security, admission)",
        patience_s=15,
    )


def _overdue(deployment: Object, own: Sequence[Object]) -> Failed | None:
    condition = condition_of(deployment, "Progressing")
    if condition.get("status") == "False" and condition.get("reason") == "ProgressDeadlineExceeded":
        return not_ready(own, deployment["spec"]["progressDeadlineSeconds"])
    return None


def pod_problem(pod: Object) -> Failed | None:
    """Say why a pod will not run, if that can be told."""
    name = pod["metadata"]["name"]
    scheduled = condition_of(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        cause = f"no node can take pod {name}: {one_line(scheduled.get('message') or '')}"
        # Pods that are about to end still hold their memory, and a cluster may add a node.
        return Failed(cause, "add a node, or ask for less memory or fewer replicas", patience_s=30)
    for container in pod.get("status", {}).get("containerStatuses", ()):
        waiting = container.get("state", {}).get("waiting", {})
        reason, message = waiting.get("reason", ""), waiting.get("message") or ""
        if reason in _PULL:
            image = container["image"]
            cause = f"the cluster can't pull {image}: {_pull_error(message, image) or reason}"
            return Failed(cause, "check that the nodes reach the registry and that it has this digest")
        if reason in _CREATE:
            cause = f"the cluster can't start pod {name}'s container: {reason}: {one_line(message)}"
            return Failed(cause, "mend the image's entrypoint, user or file permissions")
        if reason == "CrashLoopBackOff":
            return _crash(name, container.get("lastState", {}).get("terminated", {}))
    return None


def _pull_error(message: str, image: str) -> str:
    """The end of the chain of causes, without the parts that only name the image again."""
    digest = image.rpartition("@")[2]
    parts = [part for part in message.split(": ") if digest not in part and part != "rpc error"]
    return ": ".join(parts[-2:])


def _crash(pod: str, ended: Object) -> Failed:
    if ended.get("reason") == "OOMKilled":
        return Failed(f"pod {pod} ran out of memory", "raise the memory limit or use a smaller model")
    line = last_line(ended.get("message") or "")
    cause = f"pod {pod} ends again and again, with exit code {ended.get('exitCode', 'unknown')}"
    last = f" (its last line: {line})" if line else ""
    return Failed(cause + last, "run the image by hand and mend its start")


def condition_of(thing: Object, kind: str) -> Object:
    """Return an object's condition; empty where it has none of that kind."""
    found: Object = next((c for c in thing.get("status", {}).get("conditions", ()) if c["type"] == kind), {})
    return found


def holds(pod: Object, kind: str) -> bool:
    """Whether a pod's condition holds."""
    return condition_of(pod, kind).get("status") == "True"


def _lives(pod: Object) -> bool:
    ended = pod.get("status", {}).get("phase") in {"Failed", "Succeeded"}
    return not ended and "deletionTimestamp" not in pod["metadata"]


def _owner(thing: Object) -> str | None:
    owners = thing["metadata"].get("ownerReferences", ())
    return next((o["uid"] for o in owners if o.get("controller")), None)


def _revision(replicaset: Object) -> int:
    return int(replicaset["metadata"].get("annotations", {}).get(REVISION, 0))
