"""A namespace whose controller acts at once, to test the steps of a release without Kubernetes."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from ml_pipeline.cluster.errors import Refused
from ml_pipeline.release.rollout import HASH, REVISION

Thing = dict[str, Any]


class FakeCluster:
    """Has the methods of `Cluster` that a release calls. `answers` are the models' versions by image.

    A pod of an image without an answer never gets ready. `effects` are the writes, without those of the lock.
    """

    namespace = "models"

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.answers = answers
        self.things: dict[tuple[str, str], Thing] = {}
        self.replicasets: list[Thing] = []
        self.effects: list[str] = []
        self.all: dict[str, list[Thing]] = {}
        self.guard = lambda: None
        self._version = 0

    def get(self, kind: str, name: str) -> Thing | None:
        return copy.deepcopy(self.things.get((kind, name)))

    owned = get

    def list(self, kind: str, _labels: object) -> "list[Thing]":
        return copy.deepcopy(self.replicasets if kind == "replicasets" else self._pods())

    def list_all(self, kind: str, **_: object) -> "list[Thing]":
        return self.all.get(kind, [])

    def create(self, kind: str, manifest: Mapping[str, Any]) -> Thing:
        name = manifest["metadata"]["name"]
        if (kind, name) in self.things:
            raise Refused("exists", "", 409)
        self._effect("create", kind)
        return self._store(kind, name, json.loads(json.dumps(manifest)))

    def patch(self, kind: str, name: str, change: Mapping[str, Any]) -> Thing:
        thing = self._unchanged(kind, name, change)
        self._effect("patch", kind)
        return self._store(kind, name, _merged(thing, change))

    def apply(self, kind: str, manifest: Mapping[str, Any], *, dry_run: bool = False, **_: object) -> Thing:
        name = manifest["metadata"]["name"]
        before = self.things.get((kind, name))
        if before:
            self._unchanged(kind, name, manifest)
        thing = json.loads(json.dumps(manifest))
        thing["metadata"] = copy.deepcopy(before["metadata"] if before else {}) | thing["metadata"]
        thing["status"] = copy.deepcopy(before["status"]) if before else {}
        if dry_run:
            return _filled(thing)
        self._effect("apply", kind)
        return self._store(kind, name, _filled(thing))

    def delete(self, kind: str, name: str, uid: str = "") -> None:
        assert uid, "only what this call made is deleted"
        if (thing := self.things.get((kind, name))) and thing["metadata"]["uid"] == uid:
            self._effect("delete", kind)
            del self.things[kind, name]

    def last_log_line(self, _pod: str) -> str:
        return "no weights"

    def ask(self, pod: str, _port: int, path: str, _body: object = None, **_: object) -> tuple[int, bytes]:
        if path == "/model":
            return 200, b'{"example": {"age": 37}}'
        (image,) = (each["image"] for each in self._pods() if each["metadata"]["name"] == pod)
        answer = {"predictions": [1], "model": {"version": self.answers[image]}}
        return 200, json.dumps(answer).encode()

    def _effect(self, verb: str, kind: str) -> None:
        if kind != "leases":
            self.guard()
            self.effects.append(f"{verb} {kind}")

    def _unchanged(self, kind: str, name: str, change: Mapping[str, Any]) -> Thing:
        """Return the object, if it is the one that the change was made for."""
        thing = self.things[kind, name]
        if change["metadata"]["resourceVersion"] != thing["metadata"]["resourceVersion"]:
            raise Refused("changed", "", 409)
        return thing

    def _store(self, kind: str, name: str, thing: Thing) -> Thing:
        self._version += 1
        before = self.things.get((kind, name))
        metadata = thing["metadata"]
        metadata["uid"] = before["metadata"]["uid"] if before else f"{kind}-{name}-{self._version}"
        metadata["resourceVersion"] = str(self._version)
        self.things[kind, name] = thing
        if kind == "deployments":
            metadata["generation"] = self._version
            self._roll(name, thing)
        return copy.deepcopy(thing)

    def _roll(self, name: str, deployment: Thing) -> None:
        """Give the template a ReplicaSet and the newest revision, as the controller does."""
        uid, template = deployment["metadata"]["uid"], deployment["spec"]["template"]
        owned = [each for each in self.replicasets if each["metadata"]["ownerReferences"][0]["uid"] == uid]
        numbers = [int(each["metadata"]["annotations"][REVISION]) for each in owned]
        newest = next((each for each in owned if _bare(each["spec"]["template"]) == template), None)
        if newest is None:
            code = str(len(self.replicasets))
            labelled = copy.deepcopy(template)
            labelled["metadata"]["labels"][HASH] = code
            owner = {"uid": uid, "controller": True}
            metadata = {"name": f"{name}-{code}", "uid": code, "annotations": {}, "ownerReferences": [owner]}
            newest = {"metadata": metadata, "spec": {"template": labelled}}
            self.replicasets.append(newest)
        if newest["metadata"]["annotations"].get(REVISION) != str(max(numbers, default=0)) or not numbers:
            newest["metadata"]["annotations"][REVISION] = str(max(numbers, default=0) + 1)
        replicas = deployment["spec"]["replicas"]
        ready = replicas if self._image(deployment) in self.answers else 0
        deployment["status"] = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": replicas,
            "updatedReplicas": replicas,
            "availableReplicas": ready,
            "readyReplicas": ready,
        }

    def _image(self, deployment: Thing) -> str:
        image: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        return image

    def _pods(self) -> "list[Thing]":
        pods = []
        for (kind, name), deployment in self.things.items():
            if kind != "deployments":
                continue
            template = deployment["spec"]["template"]
            live = next(each for each in self.replicasets if _bare(each["spec"]["template"]) == template)
            image = self._image(deployment)
            status = {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": str(image in self.answers)}],
                "containerStatuses": [{"state": {"running": {}}}],
            }
            owner = {"uid": live["metadata"]["uid"], "controller": True}
            for number in range(deployment["spec"]["replicas"]):
                metadata = {"name": f"{name}-pod-{number}", "ownerReferences": [owner]}
                pods.append({"metadata": metadata, "status": status, "image": image})
        return pods


def _merged(thing: Any, change: Any) -> Any:
    """Return a JSON merge patch's result."""
    if not isinstance(change, Mapping):
        return change
    merged = dict(thing) if isinstance(thing, Mapping) else {}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def _filled(thing: Thing) -> Thing:
    """Add what the API server fills in by default."""
    thing["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"
    return thing


def _bare(template: Mapping[str, Any]) -> Thing:
    bare = copy.deepcopy(dict(template))
    del bare["metadata"]["labels"][HASH]
    return bare
