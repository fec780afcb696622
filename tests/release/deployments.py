"""Deployments, ReplicaSets and Services as the API server returns them."""

import json
from typing import Any

from ml_pipeline.release import ledger, rollout
from ml_pipeline.release.ledger import Ledger


def template(letter: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app.kubernetes.io/name": "adult"}},
        "spec": {"containers": [{"name": "model", "image": f"image-{letter}"}]},
    }


def deployment(letter: str = "b", revision: int = 2, **status: Any) -> dict[str, Any]:
    counts = {"observedGeneration": 4, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}
    return {
        "metadata": {
            "name": "adult",
            "uid": "deployment",
            "generation": 4,
            "annotations": {rollout.REVISION: str(revision)},
        },
        "spec": {"replicas": 2, "progressDeadlineSeconds": 60, "template": template(letter)},
        "status": counts | status,
    }


def old_annotation(*letters: str) -> dict[str, str]:
    """Return what version 0.1.0 wrote on the Deployment: the good releases, newest first."""
    entries = [
        {
            "replicaset": f"adult-{letter}",
            "image": f"registry/adult@sha256:{letter * 64}",
            "version": letter,
            "replicas": 2,
            "timeout_s": 60,
        }
        for letter in letters
    ]
    return {ledger.OLD_LEDGER: json.dumps(entries)}


def replicaset(letter: str, revision: int, owner: str = "deployment") -> dict[str, Any]:
    ran = template(letter)
    ran["metadata"]["labels"][rollout.HASH] = letter
    ran["metadata"]["creationTimestamp"] = None
    return {
        "metadata": {
            "name": f"adult-{letter}",
            "uid": letter,
            "annotations": {rollout.REVISION: str(revision)},
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "spec": {"template": ran},
    }


def service(releases: Ledger, live: str = "adult") -> dict[str, Any]:
    return {
        "metadata": {"name": "adult", "annotations": ledger.annotation(releases)},
        "spec": {"selector": {"app.kubernetes.io/name": live}},
    }


SETS = [replicaset("a", 1), replicaset("b", 2)]
