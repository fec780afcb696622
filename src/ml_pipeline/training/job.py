"""Training on several nodes as Kubernetes objects: a frozen description in, plain objects out; pure."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ml_pipeline.cluster import objects
from ml_pipeline.cluster.fields import Json, Object
from ml_pipeline.cluster.objects import Resources, selector
from ml_pipeline.common.reading import Bounds
from ml_pipeline.engine.paths import PYTHON
from ml_pipeline.serving.contract import USER

RENDEZVOUS_PORT = 29400  # torchrun's
RESULT_PORT = 8001  # where a pod hands over its result
NODE = "ml_pipeline.training.node"  # the program of each pod
INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
GRACE_S = 10
# Each failed start of a container and each lost pod counts; training/watch.py decides about everything else.
BACKOFF_LIMIT = 10
# run_job deletes the Job; this is for a Job that nobody watches any more, see training/node.py.
TTL_S = 60
# The root filesystem is read-only; this is what training writes, under the names of the one container.
WRITABLE = {"output": "/output", "checkpoints": "/checkpoints", "tmp": "/tmp"}  # noqa: S108 - in the pod

# What training needs to be allowed, as the rules of a Role in its namespace.
ROLE_RULES: tuple[Object, ...] = (
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "create", "patch", "delete"]},
    *objects.POD_RULES,
)


@dataclass(frozen=True)
class TrainingJob:
    """Which image trains on how many nodes, and what each of its pods gets: the settings of `run_job`.

    `name` is that of Job and Service: 53 characters at most, for a pod's own name is longer.
    """

    name: str
    namespace: str
    image: str  # by digest
    nodes: Annotated[int, Bounds(minimum=1)]
    device: Literal["cpu", "cuda"]
    arguments: tuple[str, ...]  # of the pod's program
    cpu_millicores: Annotated[int, Bounds(minimum=1)] = 1000  # requested
    memory_mb: Annotated[int, Bounds(minimum=1)] = 8192  # requested, and the limit
    gpus: Annotated[int, Bounds(minimum=1)] = 1  # where the device is cuda
    schedule_s: Annotated[int, Bounds(minimum=1)] = 600  # how many seconds pods may wait for a node


def name(project: str, key: str) -> str:
    """Return the name of a run's Job; `key` is hexadecimal, and the same for the same run."""
    return f"{project[:38].rstrip('-')}-train-{key[:8]}"


def service(job: TrainingJob, owner: str | None = None) -> Object:
    """Return one address of the first pod, the same when another pod takes its place.

    A cluster IP and no name, so that no cluster DNS is needed. `owner` is the Job's uid: when the Job is
    deleted, the Service is too.
    """
    metadata: dict[str, Json] = {"name": job.name, "namespace": job.namespace, "labels": selector(job.name)}
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


def job(job: TrainingJob, address: str) -> Object:
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


def _pod(job: TrainingJob, address: str) -> Object:
    volumes: list[Object] = [{"name": name, "emptyDir": {}} for name in WRITABLE]
    # What processes of one node share (NCCL, data loaders) outgrows the 64 MB that are usual.
    volumes.append({"name": "shm", "emptyDir": {"medium": "Memory"}})
    pod = objects.pod(_container(job, address), volumes, GRACE_S, group=USER)
    return pod | {"restartPolicy": "OnFailure"}  # in its place, with the checkpoints that it has


def _container(job: TrainingJob, address: str) -> Object:
    together = ["--nodes", str(job.nodes), "--rendezvous", f"{address}:{RENDEZVOUS_PORT}", "--run", job.name]
    container = objects.container(
        "train",
        job.image,
        Resources(job.cpu_millicores, job.memory_mb, job.gpus if job.device == "cuda" else 0),
        ports={"rendezvous": RENDEZVOUS_PORT, "result": RESULT_PORT},
        mounts={**WRITABLE, "shm": "/dev/shm"},  # noqa: S108 - in the pod
    )
    return container | {
        "command": [PYTHON, "-m", NODE, *together, *job.arguments],
        "env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "HOME", "value": WRITABLE["tmp"]},
            {"name": "USER", "value": "train"},  # that user has no name in the image
        ],
        # The pod that has a result is ready.
        "readinessProbe": objects.probe("/ready", "result", period_s=1, failures=1),
    }
