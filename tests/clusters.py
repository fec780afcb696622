"""The deploy stage as a program, and the namespace it releases to."""

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from ml_pipeline.release import manifests
from tests.deployers import Deployer


class Lab(Protocol):
    """What these tests need of the lab."""

    kubeconfig: Path
    registry: str


@dataclass(frozen=True)
class Result:
    """The result of one call of the stage."""

    code: int
    stderr: str
    outcome: dict[str, Any] = field(default_factory=dict)
    stdout: str = ""

    @property
    def record(self) -> dict[str, Any]:
        assert self.code == 0, self.stderr
        details: dict[str, Any] = self.outcome["details"]
        return details

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

    def start(self, action: str, *flags: str, **settings: Any) -> Deployer:
        folder = self.folder / uuid.uuid4().hex[:8]  # several calls may run at once
        folder.mkdir()
        config = folder / "settings.json"
        base = {"name": "toy", "namespace": self.namespace, "replicas": 2, "timeout_s": 40, "memory_mb": 64}
        config.write_text(json.dumps(base | {"cpu_millicores": 10} | settings))
        kubeconfig = () if "--kubeconfig" in flags else ("--kubeconfig", str(self.kubeconfig))
        return Deployer(folder, [action, "--config", str(config), *kubeconfig, *flags])

    def call(self, action: str, *flags: str, **settings: Any) -> Result:
        return self.finish(self.start(action, *flags, **settings))

    def finish(self, process: Deployer) -> Result:
        stdout, stderr = process.communicate(timeout=100)
        outcome = json.loads(process.outcome.read_text()) if process.outcome.exists() else {}
        return Result(process.wait(), stderr, outcome, stdout)

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


def least_privileged(
    target: Target, *, without: str = "", rules: Sequence[Mapping[str, Any]] = manifests.ROLE_RULES
) -> Path:
    """A kubeconfig of a service account that has just the role of docs/clusters.md, in one namespace.

    `without` is a verb that is taken from it everywhere.
    """
    rules = [dict(r) | {"verbs": [v for v in r["verbs"] if v != without]} for r in rules]
    metadata = {"name": "releaser", "namespace": target.namespace}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    api = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": metadata, "rules": rules}
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
    path = target.folder / "least-privileged"
    path.write_text(yaml.safe_dump(config))
    return path
