"""The deploy stage as a program, against a real API server and a real node."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from ml_pipeline import manifests
from tests.cluster import toy

ROOT = Path(__file__).parents[2]
ABSENT = "sha256:" + "0" * 64


class Lab(Protocol):
    """What these tests need of the lab."""

    kubeconfig: Path
    registry: str


@dataclass(frozen=True)
class Result:
    """What came of one call of the stage."""

    code: int
    stderr: str
    outcome: dict[str, Any] = field(default_factory=dict)

    @property
    def record(self) -> dict[str, Any]:
        assert self.code == 0, self.stderr
        found: dict[str, Any] = self.outcome["details"]
        return found

    @property
    def line(self) -> str:
        """The one line of a failure."""
        assert self.code == 1, self.stderr
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        return lines[0]


@dataclass(frozen=True)
class Target:
    """One namespace, and the stage as one who releases to it."""

    folder: Path
    kubeconfig: Path
    namespace: str
    admin: Path

    def start(self, action: str, *flags: str, **settings: Any) -> "subprocess.Popen[str]":
        config = self.folder / "settings.json"
        base = {"name": "toy", "namespace": self.namespace, "replicas": 2, "timeout_s": 40, "memory_mb": 64}
        config.write_text(json.dumps(base | {"cpu_millicores": 10, "strategy": "rolling"} | settings))
        command = [sys.executable, "-m", "ml_pipeline.stages.deploy", action, "--config", str(config)]
        kubeconfig = () if "--kubeconfig" in flags else ("--kubeconfig", str(self.kubeconfig))
        environment = os.environ | {
            "PYTHONPATH": str(ROOT / "src"),
            "ML_OUTCOME": str(self.folder / "out.json"),
        }
        return subprocess.Popen(
            [*command, *kubeconfig, *flags],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def call(self, action: str, *flags: str, **settings: Any) -> Result:
        return self.finish(self.start(action, *flags, **settings))

    def finish(self, process: "subprocess.Popen[str]") -> Result:
        _, stderr = process.communicate(timeout=100)
        outcome = self.folder / "out.json"
        return Result(process.returncode, stderr, json.loads(outcome.read_text()) if outcome.exists() else {})

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        program = shutil.which("kubectl", path=f"{self.admin.parent}/bin:{os.environ['PATH']}")
        assert program, "the lab has no kubectl"
        command = [program, "--kubeconfig", str(self.admin), "--namespace", self.namespace, *arguments]
        return subprocess.run(command, text=True, check=True, capture_output=True, input=stdin).stdout

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def pods(self) -> set[str]:
        """The pods that are not about to end."""
        items = self.get("pods")["items"]
        return {p["metadata"]["name"] for p in items if "deletionTimestamp" not in p["metadata"]}

    def address(self) -> str:
        return f"http://{self.get('service', 'toy')['spec']['clusterIP']}"

    def wait(self, what: str, seconds: float = 30) -> None:
        """Wait until the Deployment's pod template names `what`, and a pod of it runs."""
        deadline = time.monotonic() + seconds
        while not any(
            what in json.dumps(p["spec"]) for p in self.get("pods")["items"] if p["status"].get("startTime")
        ):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture
def target(lab: Lab, tmp_path: Path) -> Iterator[Target]:
    """A namespace that does not exist yet, and the lab's administrator."""
    made = Target(tmp_path, Path(lab.kubeconfig), f"deploy-{uuid.uuid4().hex[:8]}", Path(lab.kubeconfig))
    yield made
    made.kubectl("delete", "namespace", made.namespace, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module")
def images(lab: Lab) -> Mapping[str, str]:
    """Name of a toy model → its reference."""
    kinds = {
        "good-1": ("good", "1"),
        "good-2": ("good", "2"),
        "good-3": ("good", "3"),
        "unready": ("unready", "4"),
        "crash": ("crash", "5"),
        "wrong": ("wrong", "6"),
    }
    references = {name: toy.push(lab.registry, *kind) for name, kind in kinds.items()}
    return references | {"absent": f"{lab.registry}/toy@{ABSENT}"}


def _least_privileged(target: Target, tmp_path: Path) -> Path:
    """A kubeconfig of a service account that has just the Role of the README, in one namespace."""
    metadata = {"name": "releaser", "namespace": target.namespace}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    api = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": metadata, "rules": manifests.ROLE_RULES}
    binding = {
        "apiVersion": f"{api}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": api, "kind": "Role", "name": "releaser"},
        "subjects": [{"kind": "ServiceAccount", "name": "releaser", "namespace": target.namespace}],
    }
    target.kubectl("create", "namespace", target.namespace)
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": [account, role, binding]})
    target.kubectl("apply", "-f", "-", stdin=items)
    config = yaml.safe_load(target.admin.read_text())
    config["users"][0]["user"] = {"token": target.kubectl("create", "token", "releaser").strip()}
    path = tmp_path / "least-privileged"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.timeout(180)
def test_created_updated_left_alone_and_rolled_back_without_a_failed_request(
    target: Target, images: Mapping[str, str], tmp_path: Path
) -> None:
    releaser = Target(tmp_path, _least_privileged(target, tmp_path), target.namespace, target.admin)
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
    assert f"undone, the old release ({old}) is serving" in failed.line
    assert failed.outcome["details"]["serving"] == images["good-1"]
    assert callers.failures == []
    if image not in {"wrong", "good-2"}:  # those were ready, so they did take the old pods' place
        assert target.pods() == served
        assert set(callers.versions) == {"1"}
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
    assert f"the old release ({images['good-1'].rpartition('@')[2]}) is serving" in failed.line


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


def test_a_deployment_of_someone_else_is_left_alone(target: Target, images: Mapping[str, str]) -> None:
    target.kubectl("create", "namespace", target.namespace)
    target.kubectl("create", "deployment", "toy", "--image", images["good-1"], "--replicas", "0")
    before = target.get("deployment", "toy")["spec"]
    assert "is not of ml-pipeline" in target.call("release", image=images["good-2"]).line
    assert target.get("deployment", "toy")["spec"] == before


def test_an_api_server_by_another_name_is_checked_for_its_own(target: Target) -> None:
    config = yaml.safe_load(target.admin.read_text())
    address = config["clusters"][0]["cluster"]["server"]
    config["clusters"][0]["cluster"]["server"] = "https://kubernetes.default.svc:443"  # no DNS knows it here
    path = target.folder / "inside"
    path.write_text(yaml.safe_dump(config))
    flags = ("--kubeconfig", str(path), "--api-server", address)
    assert target.call("status", *flags).record["state"] == "absent"
    config["clusters"][0]["cluster"]["server"] = "https://another.example"
    path.write_text(yaml.safe_dump(config))
    assert "TLS with the API server" in target.call("status", *flags).line


def test_a_cluster_that_does_not_answer_or_does_not_trust(target: Target, images: Mapping[str, str]) -> None:
    nobody = target.call("status", "--api-server", "https://127.0.0.1:9").line
    assert "is not reachable: " in nobody
    assert "refused" in nobody
    config = yaml.safe_load(target.admin.read_text())
    config["users"][0]["user"] = {"token": "bm90LWEtdG9rZW4"}
    path = target.folder / "stranger"
    path.write_text(yaml.safe_dump(config))
    stranger = target.call("status", "--kubeconfig", str(path)).line
    assert "does not know the kubeconfig's user (401)" in stranger
    assert "bm90LWEtdG9rZW4" not in stranger


def test_what_is_not_allowed_is_named(target: Target, images: Mapping[str, str]) -> None:
    releaser = _least_privileged(target, target.folder)
    other = Target(target.folder, releaser, "default", target.admin)
    line = other.call("release", image=images["good-1"]).line
    assert "may not get deployments in namespace default; grant it the Role" in line


@pytest.mark.parametrize("text", ["{", "no: kubeconfig", "apiVersion: v1\nclusters: []\ncontexts: []\n"])
def test_a_bad_kubeconfig(target: Target, text: str) -> None:
    path = target.folder / "bad"
    path.write_text(text)
    line = target.call("release", "--kubeconfig", str(path)).line
    assert line.startswith("deploy: the kubeconfig is not one: ")
    assert line.endswith("; pass --kubeconfig=file://… with a current context")


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"strategy": "canary"}, "strategy 'canary' is not available yet; use rolling"),
        ({"image": "localhost:5000/toy:latest"}, "names no digest"),
        ({"replicas": 0}, "replicas is 0"),
    ],
)
def test_settings_that_are_wrong(target: Target, settings: dict[str, Any], cause: str) -> None:
    assert cause in target.call("release", **settings).line


def test_no_secret_is_left_or_shown(target: Target, images: Mapping[str, str]) -> None:
    user = yaml.safe_load(target.admin.read_text())["users"][0]["user"]
    key = base64.b64decode(user["client-key-data"]).decode().splitlines()[1]
    process = target.start("release", image=images["absent"])
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert key not in stdout + stderr
    assert user["client-key-data"][:60] not in stdout + stderr
