"""Whether pods run, and why they will not; decisions over plain Kubernetes objects, pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ml_pipeline.cluster.fields import Object, at, integer, name_of, objects, table, text
from ml_pipeline.common.lines import last_line, one_line

_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_CREATE = {"CreateContainerError", "CreateContainerConfigError", "CreatePodSandboxError", "RunContainerError"}
_WRONG_PLATFORM = "exec format error"
PLATFORM = "build the image for the platform of the nodes"


@dataclass(frozen=True)
class Progressing:
    """Not ready yet: `text` says what it waits for. `pods` are the new ones that are ready."""

    text: str
    pods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """It will not get ready by itself.

    `patience_s`: how many seconds this may last before it counts, for what often passes by itself.
    `pod`: the pod whose last log line says more, if any. `kind`: what failed, where a caller decides by it.
    """

    cause: str
    hint: str
    patience_s: float = 0
    pod: str | None = None
    kind: Literal["", "unschedulable", "pull"] = ""


def condition_of(thing: Object, kind: str) -> Object:
    """Return an object's condition; empty where it has none of that kind."""
    conditions = objects(thing, "status", "conditions")
    return next((condition for condition in conditions if text(condition, "type") == kind), {})


def holds(thing: Object, kind: str) -> bool:
    """Tell whether a condition of an object holds."""
    return text(condition_of(thing, kind), "status") == "True"


def phase_of(pod: Object) -> str:
    """Return Pending, Running, Succeeded, Failed or Unknown."""
    return text(pod, "status", "phase")


def is_ending(pod: Object) -> bool:
    """Tell whether a pod is about to end."""
    return at(pod, "metadata", "deletionTimestamp") is not None


def lives(pod: Object) -> bool:
    """Tell whether a pod has not ended, and is not about to."""
    return phase_of(pod) not in {"Failed", "Succeeded"} and not is_ending(pod)


def container_statuses(pod: Object) -> Sequence[Object]:
    """Return the states of a pod's containers."""
    return objects(pod, "status", "containerStatuses")


def endings(pod: Object) -> Iterator[Object]:
    """Yield how the pod's containers ended, now and the last time."""
    for container in container_statuses(pod):
        for state in ("state", "lastState"):
            if ended := table(container, state, "terminated"):
                yield ended


def pod_problem(pod: Object) -> Failed | None:
    """Say why a pod will not run, if that can be told."""
    name, scheduled = name_of(pod), condition_of(pod, "PodScheduled")
    if text(scheduled, "status") == "False" and text(scheduled, "reason") == "Unschedulable":
        cause = f"no node can take pod {name}: {one_line(text(scheduled, 'message'))}"
        hint = "add a node, or ask for less memory or fewer replicas"
        # Pods that are about to end still hold their memory, and a cluster may add a node.
        return Failed(cause, hint, patience_s=30, kind="unschedulable")
    for container in container_statuses(pod):
        waiting = table(container, "state", "waiting")
        reason, message = text(waiting, "reason"), text(waiting, "message")
        if reason in _PULL:
            image = text(container, "image")
            if "no match for platform" in message:
                return Failed(f"image {image} is not for the platform of the nodes", PLATFORM, kind="pull")
            cause = f"the cluster can't pull {image}: {_pull_error(message, image) or reason}"
            hint = "check that the nodes reach the registry and that it has this digest"
            return Failed(cause, hint, kind="pull")
        if reason in _CREATE:
            cause = f"the cluster can't start pod {name}'s container: {reason}: {one_line(message)}"
            other = _WRONG_PLATFORM in message
            return Failed(
                cause, PLATFORM if other else "fix the image's entrypoint, user or file permissions"
            )
        if reason == "CrashLoopBackOff":
            return _crash(name, table(container, "lastState", "terminated"))
    return None


def _pull_error(message: str, image: str) -> str:
    """Return the end of the chain of causes, without the parts that only name the image again."""
    digest = image.rpartition("@")[2]
    parts = [part for part in message.split(": ") if digest not in part and part != "rpc error"]
    return ": ".join(parts[-2:])


def _crash(pod: str, ended: Object) -> Failed:
    if text(ended, "reason") == "OOMKilled":
        return Failed(f"pod {pod} ran out of memory", "raise the memory limit or use a smaller model")
    line = last_line(text(ended, "message"))
    code = integer(ended, "exitCode") if "exitCode" in ended else "unknown"
    last = f" (its last line: {line})" if line else ""
    cause = f"pod {pod} exits again and again, with exit code {code}{last}"
    return Failed(cause, PLATFORM if _WRONG_PLATFORM in line else "run the image by hand and fix its start")
