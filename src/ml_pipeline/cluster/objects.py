"""Parts that the pipeline's Kubernetes objects share: labels, the namespace, the pod and its container; pure.

What is the same here makes pods the same: a changed pod template restarts the pods of every release.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml_pipeline.cluster.fields import Json, Object
from ml_pipeline.serving.contract import USER

MANAGER = "ml-pipeline"  # the field manager of server-side apply, and the managed-by label
# What a Role must allow for everything that asks pods, as rules in its namespace.
POD_RULES: tuple[Object, ...] = (
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get", "create"]},
)


@dataclass(frozen=True)
class Resources:
    """What a container requests: thousandths of a CPU core, MiB of memory, GPUs.

    Memory and GPUs are limits too; a CPU limit would only slow the container down.
    """

    cpu_millicores: int
    memory_mb: int
    gpus: int = 0


def selector(name: str) -> dict[str, str]:
    """Return the labels that the pods of `name`, and no others, have; they can never change."""
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": MANAGER}


def namespace(name: str) -> Object:
    """Return a namespace, for where it does not exist."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": MANAGER}},
    }


def pod(
    container: Object, volumes: Sequence[Object], grace_s: int, *, group: int | None = None
) -> dict[str, Json]:
    """Return the specification of a pod with one container, as the restricted pod security standard asks.

    The pod has `grace_s` seconds to end. `group` is the group that owns its volumes.
    """
    owner: dict[str, Json] = {} if group is None else {"fsGroup": group}
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            **owner,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": list(volumes),
    }


def container(
    name: str, image: str, resources: Resources, *, ports: Mapping[str, int], mounts: Mapping[str, str]
) -> dict[str, Json]:
    """Return a container with a read-only root filesystem.

    `ports` are numbers by name, `mounts` are paths by the volume's name.
    """
    memory = {"memory": f"{resources.memory_mb}Mi"}
    gpus = {"nvidia.com/gpu": str(resources.gpus)} if resources.gpus else {}
    return {
        "name": name,
        "image": image,
        "ports": [{"name": port, "containerPort": at, "protocol": "TCP"} for port, at in ports.items()],
        # The last lines of a crash are then in the pod's status: its log may be gone, or not readable for us.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "requests": {"cpu": f"{resources.cpu_millicores}m", **memory, **gpus},
            "limits": {**memory, **gpus},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in mounts.items()],
    }


def probe(
    path: str, port: str, *, period_s: int, failures: int, timeout_s: int | None = None
) -> dict[str, Json]:
    """Return a probe by HTTP; `port` is the name of one of the container's ports."""
    timeout: dict[str, Json] = {} if timeout_s is None else {"timeoutSeconds": timeout_s}
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period_s,
        **timeout,
        "failureThreshold": failures,
    }
