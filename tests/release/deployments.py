"""Deployments and ReplicaSets as the API server returns them."""

from typing import Any

from ml_pipeline.release import history, rollout
from ml_pipeline.release.history import GoodRelease


def deployment(good: tuple[GoodRelease, ...] = (), revision: int = 2, **status: Any) -> dict[str, Any]:
    counts = {"observedGeneration": 4, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}
    return {
        "metadata": {
            "name": "adult",
            "uid": "deployment",
            "generation": 4,
            "annotations": {rollout.REVISION: str(revision)} | history.annotation(good),
        },
        "spec": {"replicas": 2, "progressDeadlineSeconds": 60},
        "status": counts | status,
    }


def replicaset(letter: str, revision: int, owner: str = "deployment") -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "adult", history.HASH: letter}
    return {
        "metadata": {
            "name": f"adult-{letter}",
            "uid": letter,
            "annotations": {rollout.REVISION: str(revision)},
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "spec": {
            "template": {"metadata": {"creationTimestamp": None, "labels": labels}, "spec": {"image": letter}}
        },
    }


SETS = [replicaset("a", 1), replicaset("b", 2)]
