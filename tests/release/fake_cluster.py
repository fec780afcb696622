"""A namespace whose controller acts at once, to test the steps of a release without Kubernetes."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from ml_pipeline.release.history import HASH
from ml_pipeline.release.rollout import REVISION


class FakeCluster:
    """Has the methods of `Cluster` that a release calls. `answers` are the models' versions by image.

    A pod of an image without an answer never gets ready.
    """

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.answers = answers
        self.things: dict[tuple[str, str], dict[str, Any]] = {}
        self.replicasets: list[dict[str, Any]] = []
        self.effects: list[str] = []

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.things.get((kind, name)))

    owned = get

    def list(self, kind: str, _labels: Mapping[str, str]) -> "list[dict[str, Any]]":
        return copy.deepcopy(self.replicasets if kind == "replicasets" else self._pods())

    def apply(self, kind: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        self.effects.append(f"apply {kind}")
        thing = json.loads(json.dumps(manifest))
        before = self.things.get((kind, name))
        annotations = before["metadata"].get("annotations", {}) if before else {}
        thing["metadata"]["annotations"] = annotations | thing["metadata"].get("annotations", {})
        thing["metadata"]["uid"] = "deployment"
        generation = before["metadata"]["generation"] if before else 0
        changed = before is None or before["spec"] != thing["spec"]
        thing["metadata"]["generation"] = generation + changed
        self.things[kind, name] = thing
        if kind == "deployments":
            self._roll(thing)
        return copy.deepcopy(thing)

    def annotate(self, kind: str, name: str, annotations: Mapping[str, str]) -> dict[str, Any]:
        self.effects.append(f"annotate {kind}")
        self.things[kind, name]["metadata"]["annotations"] |= annotations
        return self.things[kind, name]

    def delete(self, kind: str, name: str) -> None:
        self.effects.append(f"delete {kind}")
        self.things.pop((kind, name), None)

    def last_log_line(self, _pod: str) -> str:
        return "no weights"

    def ask(self, _pod: str, _port: int, path: str, _body: object = None) -> tuple[int, bytes]:
        if path == "/model":
            return 200, b'{"example": {"age": 37}}'
        answer = {"predictions": [1], "model": {"version": self.answers[self._image()]}}
        return 200, json.dumps(answer).encode()

    def _deployment(self) -> dict[str, Any]:
        (deployment,) = (thing for (kind, _), thing in self.things.items() if kind == "deployments")
        return deployment

    def _image(self) -> str:
        image: str = self._deployment()["spec"]["template"]["spec"]["containers"][0]["image"]
        return image

    def _roll(self, deployment: dict[str, Any]) -> None:
        """Give the template a ReplicaSet and the newest revision, as the controller does."""
        template = deployment["spec"]["template"]
        numbers = [int(each["metadata"]["annotations"][REVISION]) for each in self.replicasets]
        newest = next(
            (each for each in self.replicasets if _bare(each["spec"]["template"]) == template), None
        )
        if newest is None:
            code = str(len(self.replicasets))
            labelled = copy.deepcopy(template)
            labelled["metadata"]["labels"][HASH] = code
            owner = {"uid": "deployment", "controller": True}
            metadata = {"name": f"toy-{code}", "uid": code, "annotations": {}, "ownerReferences": [owner]}
            newest = {"metadata": metadata, "spec": {"template": labelled}}
            self.replicasets.append(newest)
        if newest["metadata"]["annotations"].get(REVISION) != str(max(numbers, default=0)) or not numbers:
            newest["metadata"]["annotations"][REVISION] = str(max(numbers, default=0) + 1)
        deployment["metadata"]["annotations"][REVISION] = newest["metadata"]["annotations"][REVISION]
        ready = deployment["spec"]["replicas"] if self._image() in self.answers else 0
        counts = {"updatedReplicas": deployment["spec"]["replicas"], "availableReplicas": ready}
        deployment["status"] = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": deployment["spec"]["replicas"],
            **counts,
        }

    def _pods(self) -> "list[dict[str, Any]]":
        deployment = self._deployment()
        revision = deployment["metadata"]["annotations"][REVISION]
        (live,) = (each for each in self.replicasets if each["metadata"]["annotations"][REVISION] == revision)
        owner = {"uid": live["metadata"]["uid"], "controller": True}
        condition = {"type": "Ready", "status": str(self._image() in self.answers)}
        status = {
            "phase": "Running",
            "conditions": [condition],
            "containerStatuses": [{"state": {"running": {}}}],
        }
        return [
            {"metadata": {"name": f"pod-{number}", "ownerReferences": [owner]}, "status": status}
            for number in range(deployment["spec"]["replicas"])
        ]


def _bare(template: Mapping[str, Any]) -> dict[str, Any]:
    bare = copy.deepcopy(dict(template))
    del bare["metadata"]["labels"][HASH]
    return bare
