"""A release as Kubernetes objects: a frozen description in, plain objects out; pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from ml_pipeline.cluster import objects
from ml_pipeline.cluster.fields import Json, Object, table
from ml_pipeline.cluster.objects import Resources, selector
from ml_pipeline.common.reading import Bounds
from ml_pipeline.common.tolerances import Tolerances
from ml_pipeline.release import rollout
from ml_pipeline.serving.contract import DRAIN_VARIABLE, PORT

# For this long a pod that ends still serves: until every proxy in the cluster has learned to send elsewhere.
DRAIN_S = 5
GRACE_S = 30
STARTUP_S = 600  # of the template, not of the release: another timeout must not start other pods
HISTORY_LIMIT = 10

# What a release needs to be allowed, as the rules of a Role in its namespace. Besides:
# `create namespaces`, in a ClusterRole, where the namespace does not exist yet.
ROLE_RULES: tuple[Object, ...] = (
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "create", "patch", "delete"]},
    {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "patch"]},
    *objects.POD_RULES,
)
COLOURS = ("blue", "green")
PART_OF = "app.kubernetes.io/part-of"


@dataclass(frozen=True)
class Release:
    """What is released where: the settings of the programs `deploy` and `rollback`.

    `image` is a reference with a digest, or "" where none is chosen yet. `version` is its model's. `by` is
    who releases; `commit` and `verdict` are the image's, for the ledger. `watch_s` 0: it is not watched.
    `drains`: the image's server itself answers on for a while after SIGTERM, as its label DRAIN says.
    """

    name: str
    namespace: str
    image: str = ""
    version: str | None = None
    replicas: Annotated[int, Bounds(minimum=1)] = 2
    timeout_s: Annotated[int, Bounds(minimum=1)] = 300
    memory_mb: Annotated[int, Bounds(minimum=1)] = 512
    cpu_millicores: Annotated[int, Bounds(minimum=1)] = 100
    gpus: Annotated[int, Bounds(minimum=0)] = 0
    drains: bool = False
    strategy: Literal["rolling", "blue-green"] = "rolling"
    keep_s: Annotated[int, Bounds(minimum=0)] = 300
    by: str = ""
    commit: str | None = None
    verdict: str | None = None
    watch_s: Annotated[int, Bounds(minimum=0)] = 0
    insufficient: Literal["keep", "back"] = "keep"
    tolerances: Tolerances = field(default_factory=Tolerances)

    @property
    def digest(self) -> str:
        """`sha256:…` of the image, "" if the reference has none."""
        return rollout.digest(self.image)


def deployment_names(name: str) -> tuple[str, ...]:
    """Return the names of the Deployments that a release may have: the rolling one, and two colours."""
    return (name, *(f"{name}-{colour}" for colour in COLOURS))


def service(release: Release, live: str, annotations: Mapping[str, str]) -> Object:
    """Return one stable address, port 80, for the pods of the Deployment `live`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": release.name,
            "namespace": release.namespace,
            "labels": selector(release.name),
            "annotations": dict(annotations),
        },
        "spec": {
            "type": "ClusterIP",
            "selector": selector(live),
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
        },
    }


def deployment(release: Release, name: str = "", template: Object | None = None) -> Object:
    """Return the Deployment `name`, which is the release's own name where none is passed.

    `template` is an older revision's own, for going back to exactly that. maxUnavailable 0: no old pod ends
    before a new one is ready, so a release that never gets ready costs no capacity.
    """
    name = name or release.name
    part_of = {} if name == release.name else {PART_OF: release.name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": release.namespace,
            "labels": _labels(release, name) | part_of,
            "annotations": _annotations(release),
        },
        "spec": {
            "replicas": release.replicas,
            "selector": {"matchLabels": selector(name)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "progressDeadlineSeconds": release.timeout_s,
            "revisionHistoryLimit": HISTORY_LIMIT,
            "template": _template(release, name) if template is None else _moved(template, name),
        },
    }


def is_own(field: str) -> bool:
    """Tell whether a field is what makes a release: its image, labels and annotations."""
    return ".metadata." in f"{field}." or field.endswith('.containers[name="model"].image')


def _moved(template: Object, name: str) -> Object:
    """Return a template for the pods of the Deployment `name`, whichever it is from."""
    metadata = table(template, "metadata")
    return {**template, "metadata": {**metadata, "labels": {**table(metadata, "labels"), **selector(name)}}}


def _template(release: Release, name: str) -> Object:
    scrape = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(PORT),
        "prometheus.io/path": "/metrics",
    }
    # The root filesystem is read-only; libraries still expect to write here.
    tmp: Object = {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}
    return {
        "metadata": {"labels": _labels(release, name), "annotations": _annotations(release) | scrape},
        "spec": objects.pod(_container(release), [tmp], GRACE_S),
    }


def _container(release: Release) -> Object:
    resources = Resources(release.cpu_millicores, release.memory_mb, release.gpus)
    container = objects.container(
        "model",
        release.image,
        resources,
        ports={"http": PORT},
        mounts={"tmp": "/tmp"},  # noqa: S108 - in the pod
    )
    return container | {
        # A slow load is the start-up probe's business: liveness only ends what hangs after it.
        "startupProbe": _probe("/health", period_s=1, failures=STARTUP_S),
        "readinessProbe": _probe("/ready", period_s=1, failures=3),
        "livenessProbe": _probe("/health", period_s=10, failures=3),
        **_drain(release),
    }


def _drain(release: Release) -> dict[str, Json]:
    """Return what keeps a pod that ends answering for DRAIN_S.

    A server that drains itself also tells callers to leave their kept connections. During a preStop sleep it
    knows of nothing, so such callers stay with pods that were taken back.
    """
    if release.drains:
        return {"env": [{"name": DRAIN_VARIABLE, "value": str(DRAIN_S)}]}
    return {"lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_S}}}}


def _probe(path: str, *, period_s: int, failures: int) -> dict[str, Json]:
    return objects.probe(path, "http", period_s=period_s, failures=failures, timeout_s=5)


def _labels(release: Release, name: str) -> dict[str, str]:
    labels = selector(name) | {"app.kubernetes.io/component": "model-server"}
    # A label takes fewer characters than a version may have; the annotation has it in full.
    if release.version and re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", release.version):
        labels["app.kubernetes.io/version"] = release.version
    return labels


def _annotations(release: Release) -> dict[str, str]:
    annotations = {"ml-pipeline/image-digest": release.digest}
    if release.version:
        annotations["ml-pipeline/model-version"] = release.version
    return annotations
