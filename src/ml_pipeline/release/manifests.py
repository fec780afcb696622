"""A release as Kubernetes objects: a frozen description in, plain dicts out; pure."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml_pipeline.serving.contract import PORT, USER

MANAGER = "ml-pipeline"  # the field manager of server-side apply, and the managed-by label
# Between "this pod ends" and "no proxy sends to it any more" lies the endpoints' way through the
# cluster; the pod goes on serving for that long.
DRAIN_S = 5
GRACE_S = 30
STARTUP_S = 600  # of the template, not of the release: another timeout must not start other pods
HISTORY_LIMIT = 10

# What a release needs to be allowed, as the rules of a Role in its namespace. Besides:
# `create namespaces`, in a ClusterRole, where the namespace is not there yet.
ROLE_RULES: tuple[Mapping[str, Any], ...] = (
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "create", "patch", "delete"]},
    {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get", "create"]},
)


@dataclass(frozen=True)
class Release:
    """What is released where; `image` is a reference with a digest, or "" where none is chosen yet."""

    name: str
    namespace: str
    image: str = ""
    version: str | None = None
    replicas: int = 2
    timeout_s: int = 300
    memory_mb: int = 512
    cpu_millicores: int = 100  # requested, not limited: a limit would only slow the first predictions
    gpus: int = 0

    @property
    def digest(self) -> str:
        """`sha256:…` of the image, "" where the reference has none."""
        found = re.search(r"@(sha256:[0-9a-f]{64})$", self.image)
        return found[1] if found else ""


def release(settings: Mapping[str, Any]) -> Release:
    """Read a release from a stage's settings. Raises ValueError: one line that names the key."""
    fields = {f.name: f for f in dataclasses.fields(Release)}
    for key in settings:
        if key not in fields:
            raise ValueError(f"unknown key {key!r}: known are {', '.join(fields)}")
    for key in ("name", "namespace"):
        if key not in settings:
            raise ValueError(f"{key} is missing")
    for key, value in settings.items():
        kind = fields[key].type
        right = value is None or isinstance(value, str) if key == "version" else type(value) is kind
        if not right:
            raise ValueError(f"{key} is {value!r}")
        least = 0 if key == "gpus" else 1
        if kind is int and value < least:
            raise ValueError(f"{key} is {value}: the least is {least}")
    return Release(**settings)


def selector(name: str) -> dict[str, str]:
    """The labels that a release's pods, and no others, have; they can never change."""
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": MANAGER}


def namespace(name: str) -> dict[str, Any]:
    """The namespace, for where it does not exist."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": MANAGER}},
    }


def service(release: Release) -> dict[str, Any]:
    """One stable address, port 80, before the pods of every revision."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": release.name, "namespace": release.namespace, "labels": selector(release.name)},
        "spec": {
            "type": "ClusterIP",
            "selector": selector(release.name),
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
        },
    }


def deployment(release: Release, template: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The Deployment; `template` is an older revision's own, for going back to exactly that.

    maxUnavailable 0: no old pod ends before a new one is ready, so a release that never gets
    ready costs no capacity.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": release.name,
            "namespace": release.namespace,
            "labels": _labels(release),
            "annotations": _annotations(release),
        },
        "spec": {
            "replicas": release.replicas,
            "selector": {"matchLabels": selector(release.name)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "progressDeadlineSeconds": release.timeout_s,
            "revisionHistoryLimit": HISTORY_LIMIT,
            "template": dict(template) if template is not None else _template(release),
        },
    }


def _template(release: Release) -> dict[str, Any]:
    scrape = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(PORT),
        "prometheus.io/path": "/metrics",
    }
    return {
        "metadata": {"labels": _labels(release), "annotations": _annotations(release) | scrape},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": GRACE_S,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(release)],
            # The root filesystem is read-only; libraries still expect to write here.
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
        },
    }


def _container(release: Release) -> dict[str, Any]:
    memory = {"memory": f"{release.memory_mb}Mi"}
    gpus = {"nvidia.com/gpu": str(release.gpus)} if release.gpus else {}
    return {
        "name": "model",
        "image": release.image,
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        # A slow load is the start-up probe's business: liveness only ends what has hung after it.
        "startupProbe": _probe("/health", period=1, failures=STARTUP_S),
        "readinessProbe": _probe("/ready", period=1, failures=3),
        "livenessProbe": _probe("/health", period=10, failures=3),
        # A crash's last lines are then in the pod's status: its log may be gone, or not ours to read.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_S}}},
        "resources": {
            "requests": {"cpu": f"{release.cpu_millicores}m", **memory, **gpus},
            "limits": {**memory, **gpus},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - in the pod
    }


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _labels(release: Release) -> dict[str, str]:
    labels = selector(release.name) | {"app.kubernetes.io/component": "model-server"}
    # A label takes fewer characters than a version may have; the annotation has it in full.
    if release.version and re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", release.version):
        labels["app.kubernetes.io/version"] = release.version
    return labels


def _annotations(release: Release) -> dict[str, str]:
    annotations = {"ml-pipeline/image-digest": release.digest}
    if release.version:
        annotations["ml-pipeline/model-version"] = release.version
    return annotations
