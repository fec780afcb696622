"""Releases and rollbacks, against a real API server and a real node."""

import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from ml_pipeline.release import manifests
from tests import toy_images as toy
from tests.clusters import Target, least_privileged

pytestmark = pytest.mark.cluster


@pytest.mark.timeout(180)
def test_created_updated_left_alone_and_rolled_back_without_a_failed_request(
    target: Target, images: Mapping[str, str], tmp_path: Path
) -> None:
    releaser = Target(tmp_path, least_privileged(target), target.namespace, target.admin)
    first = releaser.call("release", image=images["good-1"], version="1").record
    assert (first["action"], first["revision"], first["ready"]) == ("created", 1, 2)
    assert first["digest"] == images["good-1"].rpartition("@")[2]
    assert first["previous_image"] is None
    assert first["prediction"]["request"] == {"instances": [{"age": 37}]}
    assert first["prediction"]["answer"]["predictions"] == [37]

    with toy.Callers(target.address()) as callers:
        callers.wait_for("1")
        second = releaser.call("release", image=images["good-2"], version="2").record
        assert (second["action"], second["revision"]) == ("updated", 2)
        assert second["previous_image"] == images["good-1"]
        callers.wait_for("2")

        before = target.get("deployment", "toy"), target.pods()
        again = releaser.call("release", image=images["good-2"], version="2").record
        assert (again["action"], again["revision"]) == ("unchanged", 2)
        assert again["prediction"]["answer"]["model"]["version"] == "2"
        assert (target.get("deployment", "toy"), target.pods()) == before

        back = releaser.call("rollback").record
        assert (back["action"], back["image"]) == ("rolled-back", images["good-1"])
        assert (back["version"], back["previous_image"]) == ("1", images["good-2"])
        callers.wait_for("1")
        time.sleep(manifests.DRAIN_S + 1)  # the last of the old pods ends
    assert len(callers.versions) > 200
    assert callers.failures == []

    assert "no good release before" in releaser.call("rollback").line
    seen = releaser.call("status").record
    assert (seen["state"], seen["image"], seen["version"]) == ("ready", images["good-1"], "1")
    assert [entry["image"] for entry in seen["good"]] == [images["good-1"]]
    assert seen["revision"] == 3  # of the pods that ran before: not a fourth ReplicaSet
    assert len(target.get("replicasets")["items"]) == 2


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("image", "version", "cause"),
    [
        ("absent", None, "the cluster can't pull"),
        ("unready", None, "/ready does not answer 200 after"),
        ("crash", None, "exit code 1 (its last line: the model's weights are broken)"),
        ("wrong", None, "answers 500 to /predict"),
        ("good-2", "3", "answers as model version 2, and 3 was released"),
    ],
)
def test_a_release_that_fails_is_undone_and_the_old_one_serves_on(
    target: Target, images: Mapping[str, str], image: str, version: str | None, cause: str
) -> None:
    assert target.call("release", image=images["good-1"], version="1").record["action"] == "created"
    served = target.pods()
    with toy.Callers(target.address(), callers=1) as callers:
        failed = target.call("release", image=images[image], version=version, timeout_s=8)
        callers.wait_for("1")
    assert cause in failed.line
    old = images["good-1"].rpartition("@")[2]
    assert f"the release was undone, and the last good one ({old}) is serving" in failed.line
    assert failed.outcome["details"]["serving"] == images["good-1"]
    if image in {"wrong", "good-2"}:  # ready, so asked by callers too, until it was asked here
        assert all("the graph has no such input" in failure for failure in callers.failures)
    else:
        assert callers.failures == []
        assert set(callers.versions) == {"1"}
    assert served <= target.pods() or image in {"wrong", "good-2"}
    assert target.call("status").record["state"] == "ready"
    assert target.call("release", image=images["good-1"], version="1").record["action"] == "unchanged"


@pytest.mark.timeout(120)
def test_a_first_release_that_fails_leaves_nothing(target: Target, images: Mapping[str, str]) -> None:
    failed = target.call("release", image=images["crash"])
    assert "the model's weights are broken" in failed.line
    assert "nothing is serving" in failed.line
    assert target.get("deployments,services,replicasets,pods")["items"] == []
    assert target.call("status").record["state"] == "absent"


@pytest.mark.timeout(120)
def test_killed_half_way_the_same_call_brings_it_to_an_end(target: Target, images: Mapping[str, str]) -> None:
    target.call("release", image=images["good-1"], version="1").record  # noqa: B018 - it asserts
    for killed_image, next_image, end in (
        ("unready", "good-2", "updated"),
        ("good-3", "good-3", "updated"),
    ):
        process = target.start("release", image=images[killed_image])
        target.wait(images[killed_image])
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        target.finish(process)
        assert target.call("release", image=images[next_image]).record["action"] == end
        assert target.call("status").record["image"] == images[next_image]


@pytest.mark.timeout(120)
def test_killed_half_way_it_goes_back_to_what_was_good_not_to_what_was_there(
    target: Target, images: Mapping[str, str]
) -> None:
    target.call("release", image=images["good-1"], version="1").record  # noqa: B018 - it asserts
    process = target.start("release", image=images["unready"])
    target.wait(images["unready"])
    process.send_signal(signal.SIGKILL)
    target.finish(process)
    failed = target.call("release", image=images["absent"])
    assert f"the last good one ({images['good-1'].rpartition('@')[2]}) is serving" in failed.line


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_it_is_undone(target: Target, images: Mapping[str, str], number: signal.Signals) -> None:
    target.call("release", image=images["good-1"]).record  # noqa: B018 - it asserts
    process = target.start("release", image=images["unready"])
    target.wait(images["unready"])
    process.send_signal(number)
    line = target.finish(process).line
    assert f"interrupted by {number.name}" in line
    assert "is serving" in line
    assert target.call("status").record["image"] == images["good-1"]


@pytest.mark.parametrize("kind", ["deployment", "service"])
def test_what_is_of_someone_else_is_left_alone(target: Target, images: Mapping[str, str], kind: str) -> None:
    target.kubectl("create", "namespace", target.namespace)
    if kind == "deployment":
        target.kubectl("create", "deployment", "toy", "--image", images["good-1"], "--replicas", "0")
    else:
        target.kubectl("create", "service", "clusterip", "toy", "--tcp", "80")
    before = target.get(kind, "toy")["spec"]
    assert f"{kind.title()} toy in namespace {target.namespace} was not created by ml-pipeline" in (
        target.call("release", image=images["good-2"]).line
    )
    assert target.get(kind, "toy")["spec"] == before
    assert len(target.get("deployments,services")["items"]) == 1
