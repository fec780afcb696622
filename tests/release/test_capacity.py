"""Whether quotas and nodes can hold more pods."""

from typing import Any

import pytest

from ml_pipeline.release import capacity
from ml_pipeline.release.manifests import Release

pytestmark = pytest.mark.program  # the client's package

RELEASE = Release("a", "b", memory_mb=512, cpu_millicores=250, gpus=1)


def quota(key: str, hard: str, used: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "q"}, "spec": spec, "status": {"hard": {key: hard}, "used": {key: used}}}


@pytest.mark.parametrize(
    ("key", "hard", "used", "problem"),
    [
        ("pods", "4", "2", ""),
        ("pods", "4", "3", "quota q has 1 of 4 pods left"),
        ("count/pods", "4", "3", "quota q has 1 of 4 count/pods left"),
        ("requests.cpu", "1", "500m", ""),
        ("requests.cpu", "1", "600m", "quota q has 0.4 of 1 requests.cpu left"),
        ("cpu", "1", "600m", "quota q has 0.4 of 1 cpu left"),
        ("limits.memory", "2Gi", "1Gi", ""),
        ("limits.memory", "2Gi", "1100Mi", "quota q has 948 MiB of 2048 MiB limits.memory left"),
        ("requests.nvidia.com/gpu", "2", "1", "quota q has 1 of 2 requests.nvidia.com/gpu left"),
        ("configmaps", "1", "1", ""),
    ],
)
def test_a_quota(key: str, hard: str, used: str, problem: str) -> None:
    assert capacity.quota_problem([quota(key, hard, used)], RELEASE, 2) == problem


def test_a_quota_of_some_pods_only_is_left_to_the_cluster() -> None:
    assert capacity.quota_problem([quota("pods", "1", "1", scopes=["BestEffort"])], RELEASE, 2) == ""


def node(name: str, **more: Any) -> dict[str, Any]:
    allocatable = {"cpu": "1", "memory": "4Gi", "pods": "110", "nvidia.com/gpu": "2"}
    conditions = [{"type": "Ready", "status": "True"}]
    status = {"allocatable": allocatable, "conditions": conditions}
    return {"metadata": {"name": name}, "spec": more, "status": status}


def pod(on: str, cpu: str, phase: str = "Running") -> dict[str, Any]:
    container = {"resources": {"requests": {"cpu": cpu}}}
    return {"spec": {"nodeName": on, "containers": [container]}, "status": {"phase": phase}}


def test_nodes_hold_what_their_pods_leave() -> None:
    nodes, pods = [node("one"), node("two")], [pod("one", "800m"), pod("two", "1", "Succeeded")]
    assert capacity.node_problem(nodes, pods, RELEASE, 2) == ""  # two GPUs on the second
    assert capacity.node_problem(nodes, pods, RELEASE, 3) == "the nodes have room for 2"


@pytest.mark.parametrize(
    "more", [{"unschedulable": True}, {"taints": [{"key": "a", "effect": "NoSchedule"}]}]
)
def test_a_node_that_takes_no_pods_does_not_count(more: dict[str, Any]) -> None:
    assert capacity.node_problem([node("one", **more)], [], RELEASE, 1) == "the nodes have room for 0"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("100m", 0.1),
        ("2", 2),
        ("64Mi", 64 * 2**20),
        ("1k", 1000),
        ("1e3", 1000),
        ("1.5Gi", 1.5 * 2**30),
        ("?", 0),
    ],
)
def test_quantities(text: str, number: float) -> None:
    assert capacity.quantity(text) == pytest.approx(number)
