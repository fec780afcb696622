"""Where a training Job stands, and what is new in its pods' logs: decisions over plain objects; pure."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ml_pipeline.cluster.fields import Object, labels_of, name_of, text
from ml_pipeline.cluster.pods import (
    Failed,
    Progressing,
    condition_of,
    endings,
    holds,
    is_ending,
    phase_of,
    pod_problem,
)
from ml_pipeline.common.lines import one_line
from ml_pipeline.training.job import INDEX_LABEL, TrainingJob

PULL_S = 30  # a registry may be busy for a moment
LOST_S = 60  # between the end of training and a pod that is ready to hand its result over
START_S = 1800  # for a pod that has its node: the image is large
FEWER = "add a node, raise train.timeout, or ask for less: --nodes, train.node"


@dataclass(frozen=True)
class Done:
    """A pod has the result: of training, or of its failure."""

    pod: str


def judge(settings: TrainingJob, job: Object | None, pods: Sequence[Object]) -> Progressing | Done | Failed:
    """Look once; what often passes by itself has failed only after its `patience_s`."""
    if job is None:
        cause = "the Job was deleted during the training"
        return Failed(cause, "find out who deleted it; two calls of the same run at once do it")
    for pod in pods:
        if holds(pod, "Ready") and not is_ending(pod):
            return Done(name_of(pod))
    for pod in pods:
        problem = _out_of_memory(pod) or pod_problem(pod)
        if problem:
            return _patient(problem, settings)
    ended = condition_of(job, "Failed")
    if text(ended, "status") == "True":
        cause = f"the pods ended again and again: {one_line(text(ended, 'message'))}"
        return Failed(cause, "read the log above")
    return _progress(settings, pods)


def _progress(settings: TrainingJob, pods: Sequence[Object]) -> Progressing | Failed:
    phases = [phase_of(pod) for pod in pods]
    if "Succeeded" in phases:
        cause = "training ended, but the pod that had the result was lost before it could be taken"
        return Failed(cause, "make the same call again", patience_s=LOST_S)
    if not pods:
        hint = "see what forbids it: kubectl describe job (quota, pod security, admission)"
        return Failed("the cluster creates no pod", hint, patience_s=settings.schedule_s)
    if "Pending" in phases or len(pods) < settings.nodes:
        cause = f"{phases.count('Running')} of {settings.nodes} pods run after {START_S} s"
        return Failed(cause, "see what the others wait for: kubectl describe pods", patience_s=START_S)
    return Progressing(f"{phases.count('Running')} of {settings.nodes} pods run")


def _out_of_memory(pod: Object) -> Failed | None:
    if any(text(ended, "reason") == "OOMKilled" for ended in endings(pod)):
        cause = f"pod {name_of(pod)} ran out of memory (exit 137)"
        return Failed(cause, "raise train.node.memory_mb, or train on less at once")
    return None


def _patient(problem: Failed, settings: TrainingJob) -> Failed:
    if problem.kind == "unschedulable":
        cause = f"{problem.cause} (after {settings.schedule_s} s)"
        return dataclasses.replace(problem, cause=cause, hint=FEWER, patience_s=settings.schedule_s)
    if problem.kind == "pull":
        return dataclasses.replace(problem, patience_s=PULL_S)
    return problem


def running(pods: Sequence[Object]) -> list[tuple[int, str]]:
    """Return the index and the name of each pod whose container runs, or ran last, by index."""
    started = [pod for pod in pods if phase_of(pod) in {"Running", "Succeeded", "Failed"}]
    return sorted((int(text(labels_of(pod), INDEX_LABEL)), name_of(pod)) for pod in started)


def answering(pods: Sequence[Object]) -> list[str]:
    """Return the names of pods that run and are not about to end: those would take half a minute to ask."""
    return [name_of(pod) for pod in pods if phase_of(pod) == "Running" and not is_ending(pod)]


def fresh(log: str, last: str) -> tuple[list[str], str]:
    """Return the lines of a log that are newer than `last`, without their times, and the newest time.

    Each line begins with its time, to the nanosecond; Kubernetes filters by the second only. What a program
    wrote may have any other character that Python takes for the end of a line, and no time then follows it.
    """
    lines: list[str] = []
    newest, is_new = last, False
    for line in log.removesuffix("\n").split("\n") if log else ():
        stamp = _TIME.match(line)
        if stamp:
            is_new = _instant(stamp[1]) > _instant(last)
            newest = stamp[1] if is_new else newest
        if is_new:
            text = line[stamp.end() :] if stamp else line
            lines.append(text.rstrip("\r").rpartition("\r")[2])  # a progress bar, as a terminal leaves it
    return lines, newest


_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ?")


def _instant(time: str) -> tuple[str, str]:
    """Return what sorts times of one node; its fractions may have any number of digits."""
    seconds, _, fraction = time[:-1].partition(".")
    return seconds, fraction
