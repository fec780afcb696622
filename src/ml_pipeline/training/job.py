"""Training on several nodes as Kubernetes objects: a frozen description in, plain dicts out; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml_pipeline.engine.paths import PYTHON
from ml_pipeline.release.manifests import selector
from ml_pipeline.serving.contract import USER

RENDEZVOUS_PORT = 29400  # torchrun's
RESULT_PORT = 8001  # where a pod hands over what came of it
NODE = "ml_pipeline.training.node"  # the program of each pod
INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
GRACE_S = 10
# Each failed start of a container and each lost pod counts; the rest is waited for by who watches.
BACKOFF_LIMIT = 10
# Who watches deletes the Job; this is for a Job that nobody watches any more, see training/node.py.
TTL_S = 60
# The root filesystem is read-only; this is what training writes, under the names of the one container.
WRITABLE = {"output": "/output", "checkpoints": "/checkpoints", "tmp": "/tmp"}  # noqa: S108 - in the pod

# What training needs to be allowed, as the rules of a Role in its namespace.
ROLE_RULES: tuple[Mapping[str, Any], ...] = (
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get", "create"]},
)


@dataclass(frozen=True)
class TrainingJob:
    """Which image trains on how many nodes, and what each of its pods is given."""

    name: str  # of Job and Service: 53 characters at most, for a pod's own name is longer
    namespace: str
    image: str  # by digest
    nodes: int
    device: str  # cpu or cuda
    arguments: tuple[str, ...]  # of the pod's program
    cpu_millicores: int = 1000  # requested
    memory_mb: int = 8192  # requested, and the limit
    gpus: int = 1  # where the device is cuda
    schedule_s: int = 600  # how long pods may wait for a node


def training_job(settings: Mapping[str, Any]) -> TrainingJob:
    """Read it from a stage's settings. Raises TypeError for a key that is none."""
    return TrainingJob(**{**settings, "arguments": tuple(settings["arguments"])})


def name(project: str, key: str) -> str:
    """Return the name of a run's Job; `key` is hexadecimal, and the same for the same run."""
    return f"{project[:38].rstrip('-')}-train-{key[:8]}"


def service(job: TrainingJob, owner: str | None = None) -> dict[str, Any]:
    """One address of the first pod, the same when another pod takes its place.

    A cluster IP and no name, so that no cluster DNS is needed. `owner` is the Job's uid: with the Job goes
    the Service.
    """
    metadata: dict[str, Any] = {"name": job.name, "namespace": job.namespace, "labels": selector(job.name)}
    if owner:
        reference = {"apiVersion": "batch/v1", "kind": "Job", "name": job.name, "uid": owner}
        metadata["ownerReferences"] = [reference]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": "ClusterIP",
            "selector": {**selector(job.name), INDEX_LABEL: "0"},
            "publishNotReadyAddresses": True,  # pods meet before any is ready
            "ports": [{"name": "rendezvous", "port": RENDEZVOUS_PORT, "protocol": "TCP"}],
        },
    }


def job(job: TrainingJob, address: str) -> dict[str, Any]:
    """Return the Indexed Job; `address` is the Service's."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job.name, "namespace": job.namespace, "labels": selector(job.name)},
        "spec": {
            "completionMode": "Indexed",
            "completions": job.nodes,
            "parallelism": job.nodes,
            "backoffLimit": BACKOFF_LIMIT,
            "ttlSecondsAfterFinished": TTL_S,
            "template": {"metadata": {"labels": selector(job.name)}, "spec": _pod(job, address)},
        },
    }


def _pod(job: TrainingJob, address: str) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [{"name": name, "emptyDir": {}} for name in WRITABLE]
    # What processes of one node share (NCCL, data loaders) outgrows the 64 MB that are usual.
    volumes.append({"name": "shm", "emptyDir": {"medium": "Memory"}})
    return {
        "restartPolicy": "OnFailure",  # in its place, with the checkpoints that it has
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(job, address)],
        "volumes": volumes,
    }


def _container(job: TrainingJob, address: str) -> dict[str, Any]:
    together = ["--nodes", str(job.nodes), "--rendezvous", f"{address}:{RENDEZVOUS_PORT}", "--run", job.name]
    mounts = [{"name": name, "mountPath": path} for name, path in WRITABLE.items()]
    memory = {"memory": f"{job.memory_mb}Mi"}
    gpus = {"nvidia.com/gpu": str(job.gpus)} if job.device == "cuda" else {}
    return {
        "name": "train",
        "image": job.image,
        "command": [PYTHON, "-m", NODE, *together, *job.arguments],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "HOME", "value": WRITABLE["tmp"]},
            {"name": "USER", "value": "train"},  # that user has no name in the image
        ],
        "ports": [
            {"name": "rendezvous", "containerPort": RENDEZVOUS_PORT, "protocol": "TCP"},
            {"name": "result", "containerPort": RESULT_PORT, "protocol": "TCP"},
        ],
        # Ready is the pod that has a result.
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": "result"},
            "periodSeconds": 1,
            "failureThreshold": 1,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "requests": {"cpu": f"{job.cpu_millicores}m", **memory, **gpus},
            "limits": {**memory, **gpus},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [*mounts, {"name": "shm", "mountPath": "/dev/shm"}],  # noqa: S108 - in the pod
    }
