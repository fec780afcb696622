"""What goes wrong around a release: other calls, changes by hand, things of others, older versions.

Each scenario has a namespace of its own, and all run at once: they mostly wait for pods.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ml_pipeline.release import ledger, manifests
from ml_pipeline.release.manifests import Release
from tests import toy_images as toy
from tests.clusters import Lab, Target
from tests.release.scenarios import QUICK, Images, Scenario, Started, call, digest, serving, started

pytestmark = pytest.mark.cluster

BLUE_GREEN: dict[str, Any] = {"strategy": "blue-green"}


def two_deploys_at_once(target: Target, images: Images) -> None:
    call(target, "release", image=images["good-1"]).record  # noqa: B018 - it asserts
    both = [target.start("release", **(QUICK | {"image": images[name]})) for name in ("good-2", "good-3")]
    results = [target.finish(process) for process in both]
    records = sorted((result.record for result in results), key=lambda record: record["revision"])
    assert [record["revision"] for record in records] == [2, 3]
    assert records[1]["previous_image"] == records[0]["image"]
    assert serving(target) == records[1]["image"]
    waited = "\n".join(result.stdout for result in results)
    assert "deploy: waits, because admin on " in waited
    assert " holds the lock" in waited


def the_same_version_in_two_images(target: Target, images: Images) -> None:
    call(target, "release", image=images["good-1"], version="1").record  # noqa: B018 - it asserts
    assert "answers 500" in call(target, "release", image=images["wrong-1"], version="1").line
    assert serving(target) == images["good-1"]
    assert call(target, "release", image=images["also-1"], version="1").record["action"] == "updated"
    assert serving(target) == images["also-1"]


def without_its_history_what_served_serves_on(target: Target, images: Images) -> None:
    call(target, "release", image=images["good-1"], version="1").record  # noqa: B018 - it asserts
    for annotation in (f"{ledger.LEDGER}-", f"{ledger.LEDGER}={{"):
        target.kubectl("annotate", "--overwrite", "service", "toy", annotation)
        failed = call(target, "release", image=images["absent"])
        assert f"the last good one ({digest(images['good-1'])}) is serving" in failed.line
        assert serving(target) == images["good-1"]


def changes_by_hand_before_a_rollback(target: Target, images: Images) -> None:
    for version in "12":
        call(target, "release", image=images[f"good-{version}"], version=version).record  # noqa: B018
    target.kubectl("rollout", "restart", "deployment/toy")
    target.kubectl("rollout", "status", "deployment/toy")
    assert call(target, "rollback").record["image"] == images["good-1"]
    target.kubectl("set", "image", "deployment/toy", f"model={images['good-3']}")
    target.kubectl("rollout", "status", "deployment/toy")
    assert call(target, "rollback").record["image"] == images["good-1"]
    again = call(target, "rollback", "--to", digest(images["good-1"]))
    assert f"what serves is already {digest(images['good-1'])}" in again.line
    assert serving(target) == images["good-1"]


def what_others_set_stays(target: Target, images: Images) -> None:
    call(target, "release", image=images["good-1"], version="1").record  # noqa: B018 - it asserts
    target.kubectl("patch", "service", "toy", "--patch", '{"spec":{"type":"NodePort"}}')
    target.kubectl("set", "resources", "deployment/toy", "--limits=memory=96Mi")
    target.kubectl("rollout", "status", "deployment/toy")
    target.kubectl("scale", "deployment/toy", "--replicas=3")
    target.kubectl("rollout", "status", "deployment/toy")
    second = call(target, "release", image=images["good-2"], version="2")
    assert second.record["ready"] == 3
    assert "resources.limits.memory stays as kubectl-set set it" in second.stdout
    deployment = target.get("deployment", "toy")
    limits = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert (limits["memory"], deployment["spec"]["replicas"]) == ("96Mi", 1)
    assert target.get("service", "toy")["spec"]["type"] == "NodePort"


def a_paused_rollout(target: Target, images: Images) -> None:
    call(target, "release", image=images["good-1"]).record  # noqa: B018 - it asserts
    target.kubectl("rollout", "pause", "deployment/toy")
    before = target.get("deployment", "toy")["spec"]
    line = call(target, "release", image=images["good-2"]).line
    assert line == ("deploy: the rollout of Deployment toy is paused; kubectl rollout resume deployment/toy")
    assert target.get("deployment", "toy")["spec"] == before


def what_another_applies_is_not_undone(target: Target, images: Images) -> None:
    call(target, "release", image=images["good-1"]).record  # noqa: B018 - it asserts
    process = target.start("release", **(QUICK | {"image": images["unready"]}))
    target.wait(images["unready"])
    target.kubectl("set", "image", "deployment/toy", f"model={images['good-3']}")
    line = target.finish(process).line
    assert "another changed Deployment toy during the release" in line
    target.kubectl("rollout", "status", "deployment/toy")
    assert serving(target) == images["good-3"]


def a_quota_that_can_not_hold_twice_the_pods(target: Target, images: Images) -> None:
    call(target, "release", image=images["good-1"]).record  # noqa: B018 - it asserts
    target.kubectl("create", "quota", "few", "--hard=pods=1")
    deadline = time.monotonic() + 20
    while not target.get("quota", "few")["status"].get("used"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    line = call(target, "release", image=images["good-2"], **BLUE_GREEN).line
    assert "blue-green needs 1 more pods for a while, and quota few has 0 of 1 pods left" in line
    assert len(target.get("deployments")["items"]) == 1


def a_colour_of_someone_else(target: Target, images: Images) -> None:
    target.kubectl("create", "namespace", target.namespace)
    target.kubectl("create", "deployment", "toy-blue", "--image", images["good-1"], "--replicas", "0")
    line = call(target, "release", image=images["good-2"], **BLUE_GREEN).line
    assert f"Deployment toy-blue in namespace {target.namespace} was not created by ml-pipeline" in line


def a_namespace_that_is_being_deleted(target: Target, images: Images) -> None:
    target.kubectl("create", "namespace", target.namespace)
    target.kubectl("create", "configmap", "held")
    target.kubectl("patch", "configmap", "held", "--patch", '{"metadata":{"finalizers":["a.example/b"]}}')
    target.kubectl("delete", "namespace", target.namespace, "--wait=false")
    line = call(target, "release", image=images["good-1"]).line
    target.kubectl("patch", "configmap", "held", "--patch", '{"metadata":{"finalizers":null}}')
    assert f"deploy: namespace {target.namespace} is being deleted; wait until it is gone" in line


def a_release_of_an_older_version_is_taken_over(target: Target, images: Images) -> None:
    """What version 0.1.0 left: a Service, a Deployment, and an annotation that names the good ReplicaSets."""
    target.kubectl("create", "namespace", target.namespace)
    entries: list[dict[str, Any]] = []
    for version in "12":
        release = Release(
            "toy",
            target.namespace,
            images[f"good-{version}"],
            version,
            1,
            40,
            memory_mb=64,
            cpu_millicores=10,
        )
        service: Any = manifests.service(release, "toy", {})
        del service["metadata"]["annotations"]
        things = {"apiVersion": "v1", "kind": "List", "items": [service, manifests.deployment(release)]}
        apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=ml-pipeline", "-f", "-")
        target.kubectl(*apply, stdin=json.dumps(things))
        target.kubectl("rollout", "status", "deployment/toy")
        (replicaset,) = (
            each["metadata"]["name"]
            for each in target.get("replicasets")["items"]
            if each["spec"]["template"]["spec"]["containers"][0]["image"] == release.image
        )
        entry = {"replicaset": replicaset, "image": release.image, "version": version}
        entries.insert(0, entry | {"replicas": 1, "timeout_s": 40})
    target.kubectl("annotate", "deployment", "toy", f"{ledger.OLD_LEDGER}={json.dumps(entries)}")
    before = target.pods()
    releases = call(target, "history").record["releases"]
    assert [(each["revision"], each["outcome"]) for each in releases] == [(2, "serving"), (1, "replaced")]
    assert call(target, "release", image=images["good-2"], version="2").record["action"] == "unchanged"
    assert target.pods() == before
    with toy.Callers(target.address(), callers=1) as callers:
        assert call(target, "rollback").record["image"] == images["good-1"]
        third = call(target, "release", image=images["good-3"], version="3", **BLUE_GREEN).record
        assert (third["deployment"], third["previous_image"]) == ("toy-blue", images["good-1"])
        assert call(target, "rollback").record["image"] == images["good-1"]
        callers.wait_for("1")
    assert callers.failures == []


SCENARIOS: tuple[Scenario, ...] = (
    two_deploys_at_once,
    the_same_version_in_two_images,
    without_its_history_what_served_serves_on,
    changes_by_hand_before_a_rollback,
    what_others_set_stays,
    a_paused_rollout,
    what_another_applies_is_not_undone,
    a_quota_that_can_not_hold_twice_the_pods,
    a_colour_of_someone_else,
    a_namespace_that_is_being_deleted,
    a_release_of_an_older_version_is_taken_over,
)


@pytest.fixture(scope="module")
def running(lab: Lab, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    more = {"also-1": toy.push(lab.registry, "also", "1"), "wrong-1": toy.push(lab.registry, "wrong", "1")}
    with started(SCENARIOS, lab, {**images, **more}, tmp_path_factory) as scenarios:
        yield scenarios


@pytest.mark.timeout(700)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_release_among(running: Started, scenario: Scenario) -> None:
    running[scenario.__name__].result()
