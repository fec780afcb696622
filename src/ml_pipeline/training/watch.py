"""How a training Job stands, and what is new in its pods' logs: decisions over plain objects; pure."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from ml_pipeline.common.lines import one_line
from ml_pipeline.release import rollout
from ml_pipeline.release.rollout import Failed, Object, Progressing
from ml_pipeline.training.job import INDEX_LABEL, TrainingJob

PULL_S = 30  # a registry may be busy for a moment
LOST_S = 60  # between the end of training and a pod that is ready to hand its result over
START_S = 1800  # for a pod that has its node: the image is large
FEWER = "add a node, raise train.timeout, or ask for less: --nodes, train.node"


@dataclass(frozen=True)
class Done:
    """A pod has the result: of training, or of its failure."""

    pod: str


def judge(wanted: TrainingJob, job: Object | None, pods: Sequence[Object]) -> Progressing | Done | Failed:
    """Look once; what often passes by itself has failed only after its `patience_s`."""
    if job is None:
        return Failed("the Job was deleted meanwhile", "find out by whom; the same run twice at once does it")
    for pod in pods:
        if rollout.holds(pod, "Ready") and "deletionTimestamp" not in pod["metadata"]:
            return Done(pod["metadata"]["name"])
    for pod in pods:
        problem = _out_of_memory(pod) or rollout.pod_problem(pod)
        if problem:
            return _patient(problem, wanted)
    ended = rollout.condition_of(job, "Failed")
    if ended.get("status") == "True":
        cause = f"the pods ended again and again: {one_line(ended.get('message') or '')}"
        return Failed(cause, "read the log above")
    return _progress(wanted, pods)


def _progress(wanted: TrainingJob, pods: Sequence[Object]) -> Progressing | Failed:
    phases = [pod.get("status", {}).get("phase") for pod in pods]
    if "Succeeded" in phases:
        cause = "training ended, but the pod that had the result was lost before it could be taken"
        return Failed(cause, "make the same call again", patience_s=LOST_S)
    if not pods:
        hint = "see what forbids it: kubectl describe job (quota, pod security, admission)"
        return Failed("the cluster creates no pod", hint, patience_s=wanted.schedule_s)
    if "Pending" in phases or len(pods) < wanted.nodes:
        cause = f"{phases.count('Running')} of {wanted.nodes} pods run after {START_S} s"
        return Failed(cause, "see what the others wait for: kubectl describe pods", patience_s=START_S)
    return Progressing(f"{phases.count('Running')} of {wanted.nodes} pods run")


def _out_of_memory(pod: Object) -> Failed | None:
    for container in pod.get("status", {}).get("containerStatuses", ()):
        for state in (container.get("state", {}), container.get("lastState", {})):
            if state.get("terminated", {}).get("reason") == "OOMKilled":
                cause = f"pod {pod['metadata']['name']} ran out of memory (exit 137)"
                return Failed(cause, "raise train.node.memory_mb, or train on less at once")
    return None


def _patient(problem: Failed, wanted: TrainingJob) -> Failed:
    if problem.cause.startswith("no node can take"):
        cause = f"{problem.cause} (after {wanted.schedule_s} s)"
        return dataclasses.replace(problem, cause=cause, hint=FEWER, patience_s=wanted.schedule_s)
    if problem.cause.startswith("the cluster can't pull"):
        return dataclasses.replace(problem, patience_s=PULL_S)
    return problem


def running(pods: Sequence[Object]) -> list[tuple[int, str]]:
    """Return the index and the name of each pod whose container runs, or ran last, by index."""
    found = [p for p in pods if p.get("status", {}).get("phase") in {"Running", "Succeeded", "Failed"}]
    return sorted((int(p["metadata"]["labels"][INDEX_LABEL]), p["metadata"]["name"]) for p in found)


def answering(pods: Sequence[Object]) -> list[str]:
    """Return the names of pods that run and are not about to end: those would take half a minute to ask."""
    return [
        p["metadata"]["name"]
        for p in pods
        if p.get("status", {}).get("phase") == "Running" and "deletionTimestamp" not in p["metadata"]
    ]


def fresh(log: str, last: str) -> tuple[list[str], str]:
    """Return the lines of a log that are newer than `last`, without their times, and the newest time.

    Each line begins with its time, to the nanosecond; Kubernetes filters by the second only.
    """
    lines = []
    for line in log.splitlines():
        at, _, text = line.partition(" ")
        if at > last:
            lines.append(text)
            last = at
    return lines, last
