"""Whether quotas and nodes can hold more pods; decisions over plain Kubernetes objects, pure.

Only what can be read is checked: a user who may not list quotas or nodes hears of it from the scheduler.
"""

import re
from collections.abc import Mapping, Sequence

from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.errors import Refused
from ml_pipeline.cluster.fields import Object, at, name_of, objects, table, text
from ml_pipeline.cluster.pods import holds, phase_of
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release.manifests import Release

_UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0} | {
    unit + suffix: base ** (power + 1)
    for suffix, base in (("", 1000.0), ("i", 1024.0))
    for power, unit in enumerate(("K" if suffix else "k", "M", "G", "T", "P", "E"))
}
HINT = 'make room, or set deploy.strategy = "rolling" or a smaller deploy.replicas'


def check(cluster: Cluster, release: Release, more: int) -> None:
    """Raise StageFailure, before anything starts, where there is no room for `more` pods of the release."""
    problem = quota_problem(_list(cluster, "resourcequotas"), release, more)
    if not problem:
        nodes = _list(cluster, "nodes", everywhere=True)
        pods = _list(cluster, "pods", everywhere=True) if nodes else []
        problem = node_problem(nodes, pods, release, more) if pods else ""
    if problem:
        cause = f"{release.strategy} needs {more} more pods for a while, and {problem}"
        raise StageFailure(f"{cause}; nothing was changed", HINT)


def _list(cluster: Cluster, kind: str, *, everywhere: bool = False) -> list[Object]:
    try:
        return cluster.list_all(kind, everywhere=everywhere)
    except Refused:
        return []


def requests(release: Release) -> dict[str, float]:
    """Return what one pod requests, by resource: cores, bytes, GPUs and the pod itself."""
    gpus = {"nvidia.com/gpu": float(release.gpus)} if release.gpus else {}
    return {"cpu": release.cpu_millicores / 1000, "memory": release.memory_mb * 2.0**20, "pods": 1.0} | gpus


def quota_problem(quotas: Sequence[Object], release: Release, more: int) -> str:
    """Say which quota can't hold `more` pods; "" if all can."""
    needs = requests(release)
    for quota in quotas:
        if table(quota, "spec", "scopeSelector") or at(quota, "spec", "scopes"):
            continue  # it counts some pods only
        hard, used = table(quota, "status", "hard"), table(quota, "status", "used")
        for key, limit in hard.items():
            resource = re.sub(r"^(requests\.|count/)", "", key)
            resource = "memory" if key == "limits.memory" else resource
            need = needs.get(resource, 0) * more
            free = quantity(limit) - quantity(used.get(key))
            if need > free:
                shown = f"{_shown(resource, free)} of {_shown(resource, quantity(limit))}"
                return f"quota {name_of(quota)} has {shown} {key} left"
    return ""


def node_problem(nodes: Sequence[Object], pods: Sequence[Object], release: Release, more: int) -> str:
    """Say how many of `more` pods the nodes can hold, where that is not all; "" if it is."""
    needs = requests(release)
    room = sum(_room(node, pods, needs) for node in nodes if _takes_pods(node))
    return f"the nodes have room for {room}" if room < more else ""


def _room(node: Object, pods: Sequence[Object], needs: Mapping[str, float]) -> int:
    free = {key: quantity(value) for key, value in table(node, "status", "allocatable").items()}
    for pod in pods:
        if text(pod, "spec", "nodeName") == name_of(node) and phase_of(pod) not in {"Succeeded", "Failed"}:
            free["pods"] = free.get("pods", 0) - 1
            for container in objects(pod, "spec", "containers"):
                for key, value in table(container, "resources", "requests").items():
                    free[key] = free.get(key, 0) - quantity(value)
    return max(0, min(int((free.get(key, 0) + 1e-9) // need) for key, need in needs.items()))


def _takes_pods(node: Object) -> bool:
    taints = objects(node, "spec", "taints")
    closed = any(text(taint, "effect") in {"NoSchedule", "NoExecute"} for taint in taints)
    return holds(node, "Ready") and at(node, "spec", "unschedulable") is not True and not closed


def quantity(value: object) -> float:
    """Return a Kubernetes quantity, such as "100m" or "64Mi", as a number; 0 if it is not one."""
    match = re.fullmatch(r"([0-9.]+(?:[eE][+-]?[0-9]+)?)([numkKMGTPE]i?)?", str(value).strip())
    if not match or (match[2] or "") not in _UNITS:
        return 0.0
    return float(match[1]) * _UNITS[match[2] or ""]


def _shown(resource: str, amount: float) -> str:
    return f"{amount / 2**20:.0f} MiB" if resource == "memory" else f"{amount:g}"
