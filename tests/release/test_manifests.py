"""Manifests: what a release asks the cluster for."""

import dataclasses
from typing import Any

import pytest

from ml_pipeline.common.reading import DocumentError, read
from ml_pipeline.release import manifests
from ml_pipeline.release.manifests import Release

DIGEST = "sha256:" + "ab" * 32
RELEASE = Release("adult-income", "models", f"registry:5000/adult:1@{DIGEST}", "0123456789ab", replicas=3)


def _deployment(release: Release = RELEASE, name: str = "") -> Any:
    return manifests.deployment(release, name)


def _pod(release: Release = RELEASE) -> Any:
    return _deployment(release)["spec"]["template"]["spec"]


def test_digest_is_read_from_the_reference() -> None:
    assert RELEASE.digest == DIGEST
    assert Release("a", "b", "registry/adult:latest").digest == ""
    assert Release("a", "b", "registry/adult@sha256:short").digest == ""


def test_no_pod_ends_before_a_new_one_is_ready() -> None:
    spec = _deployment()["spec"]
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (3, 10, 300)


def test_pods_fall_under_the_restricted_pod_security_standard() -> None:
    pod = _pod()
    container = pod["containers"][0]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_pod_serves_on_while_the_cluster_forgets_it() -> None:
    pod = _pod()
    drain = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert 0 < drain < pod["terminationGracePeriodSeconds"]


def test_a_server_that_drains_itself_learns_of_its_end_at_once() -> None:
    pod = _pod(dataclasses.replace(RELEASE, drains=True))
    container = pod["containers"][0]
    assert "lifecycle" not in container
    assert container["env"] == [{"name": "ML_DRAIN", "value": str(manifests.DRAIN_S)}]
    assert "env" not in _pod()["containers"][0]  # an older image's server is not asked for what it may lack


def test_probes_ask_what_the_image_serves() -> None:
    container = _pod()["containers"][0]
    paths = {k: container[k]["httpGet"]["path"] for k in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"startupProbe": "/health", "readinessProbe": "/ready", "livenessProbe": "/health"}
    assert container["ports"][0]["containerPort"] == 8000


def test_memory_is_requested_and_limited_alike() -> None:
    resources = _pod(dataclasses.replace(RELEASE, memory_mb=256))["containers"][0]["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "256Mi"
    assert "cpu" not in resources["limits"]


def test_a_gpu_is_requested_and_limited_alike_where_one_is_needed() -> None:
    resources = _pod(dataclasses.replace(RELEASE, gpus=1))["containers"][0]["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "1"
    without = _pod()["containers"][0]["resources"]
    assert not [name for kind in without.values() for name in kind if "gpu" in name]


def test_each_deployment_has_pods_that_only_its_own_selector_finds() -> None:
    names = manifests.deployment_names("adult-income")
    assert names == ("adult-income", "adult-income-blue", "adult-income-green")
    for name in names:
        labels = _deployment(RELEASE, name)["spec"]["template"]["metadata"]["labels"]
        for other in names:
            service: Any = manifests.service(RELEASE, other, {})
            assert (service["spec"]["selector"].items() <= labels.items()) == (name == other)


def test_the_pods_of_a_rolling_release_are_those_of_older_versions_of_this_module() -> None:
    assert set(_deployment()["spec"]["template"]["metadata"]["labels"]) == {
        "app.kubernetes.io/name",
        "app.kubernetes.io/managed-by",
        "app.kubernetes.io/component",
        "app.kubernetes.io/version",
    }
    assert "app.kubernetes.io/part-of" not in _deployment()["metadata"]["labels"]
    assert _deployment(name="adult-income-blue")["metadata"]["labels"]["app.kubernetes.io/part-of"] == (
        "adult-income"
    )


def test_the_service_finds_the_pods_of_every_revision() -> None:
    service: Any = manifests.service(RELEASE, "adult-income", {})
    selector = service["spec"]["selector"]
    labels = _deployment()["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= labels.items()
    assert "app.kubernetes.io/version" not in selector
    assert _deployment()["spec"]["selector"]["matchLabels"] == selector


def test_annotations_name_digest_version_and_metrics() -> None:
    annotations = _deployment()["spec"]["template"]["metadata"]["annotations"]
    assert annotations["ml-pipeline/image-digest"] == DIGEST
    assert annotations["ml-pipeline/model-version"] == "0123456789ab"
    assert annotations["prometheus.io/scrape"] == "true"


@pytest.mark.parametrize("version", [None, "with spaces", "-x", "v" * 64])
def test_a_version_that_is_no_label_stays_out_of_the_labels(version: str | None) -> None:
    metadata = _deployment(dataclasses.replace(RELEASE, version=version))["metadata"]
    assert "app.kubernetes.io/version" not in metadata["labels"]
    assert metadata["annotations"].get("ml-pipeline/model-version") == version


def test_another_timeout_or_replica_count_starts_no_other_pods() -> None:
    other = dataclasses.replace(RELEASE, timeout_s=10, replicas=7)
    assert _deployment(other)["spec"]["template"] == _deployment()["spec"]["template"]


def test_an_older_template_is_taken_as_it_is() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}
    spec: Any = manifests.deployment(RELEASE, "adult-income-blue", template)["spec"]
    labels = {"a": "b"} | spec["selector"]["matchLabels"]
    assert spec["template"] == {"metadata": {"labels": labels}, "spec": {"containers": []}}


@pytest.mark.parametrize(
    ("field", "own"),
    [
        ('.spec.template.spec.containers[name="model"].image', True),
        (".spec.template.metadata.annotations.ml-pipeline/image-digest", True),
        (".metadata.labels.app.kubernetes.io/version", True),
        ('.spec.template.spec.containers[name="model"].resources.limits.memory', False),
        (".spec.replicas", False),
    ],
)
def test_what_a_release_takes_over_from_others(field: str, own: bool) -> None:
    assert manifests.is_own(field) is own


def test_settings_become_a_release() -> None:
    settings = {"name": "a", "namespace": "b", "image": "c", "version": None, "replicas": 1, "timeout_s": 5}
    assert read(Release, settings) == Release("a", "b", "c", replicas=1, timeout_s=5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"replica": 2}, "unknown key 'replica'; did you mean 'replicas'?"),
        ({"replicas": 0}, "replicas = 0 is out of range; use 1 or more"),
        ({"gpus": -1}, "gpus = -1 is out of range; use 0 or more"),
        ({"version": 3}, "version is 3, an integer; write a string"),
    ],
)
def test_wrong_settings_name_the_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DocumentError) as refusal:
        read(Release, {"name": "a", "namespace": "b"} | change)
    assert str(refusal.value) == message
