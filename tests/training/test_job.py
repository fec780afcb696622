"""A training Job: what it asks the cluster for, and how what the cluster says of it is read."""

import dataclasses
import json
from typing import Any

import pytest

from ml_pipeline.cluster.pods import Failed, Progressing
from ml_pipeline.common.reading import read
from ml_pipeline.errors import ConfigError
from ml_pipeline.training import job as training_job
from ml_pipeline.training import nodes as training_cluster
from ml_pipeline.training import watch as training_watch
from ml_pipeline.training.job import INDEX_LABEL, TrainingJob
from ml_pipeline.training.watch import Done

JOB = TrainingJob(
    name="wine-train-0123abcd",
    namespace="models",
    image="registry:5000/wine-training:0123@sha256:" + "ab" * 32,
    nodes=3,
    device="cpu",
    arguments=("--config", "/settings.json"),
    cpu_millicores=2000,
    memory_mb=3000,
    schedule_s=90,
)


def spec(job: TrainingJob = JOB) -> dict[str, Any]:
    whole: Any = training_job.job(job, "10.96.0.7")["spec"]
    return dict(whole)


def container(job: TrainingJob = JOB) -> dict[str, Any]:
    return dict(spec(job)["template"]["spec"]["containers"][0])


def test_one_pod_for_each_node_and_all_at_once() -> None:
    whole = spec()
    assert (whole["completionMode"], whole["completions"], whole["parallelism"]) == ("Indexed", 3, 3)
    assert whole["template"]["spec"]["restartPolicy"] == "OnFailure"
    assert whole["backoffLimit"] > 1


def test_pods_meet_at_the_first_one_s_address() -> None:
    service: Any = training_job.service(JOB)["spec"]
    labels = spec()["template"]["metadata"]["labels"]
    assert service["selector"] == labels | {INDEX_LABEL: "0"}
    assert service["publishNotReadyAddresses"]
    command = container()["command"]
    assert command[command.index("--rendezvous") + 1] == f"10.96.0.7:{service['ports'][0]['port']}"
    assert command[command.index("--nodes") + 1] == "3"
    assert command[-2:] == ["--config", "/settings.json"]


def test_the_service_goes_with_the_job() -> None:
    metadata: Any = training_job.service(JOB, "1-2-3")["metadata"]
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", JOB.name, "1-2-3")


def test_pods_fall_under_the_restricted_pod_security_standard() -> None:
    pod = spec()["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsUser"] == 10001
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {mount["mountPath"] for mount in container()["volumeMounts"]}
    assert mounted == {"/output", "/checkpoints", "/tmp", "/dev/shm"}  # noqa: S108 - in the pod
    assert all("emptyDir" in volume for volume in pod["volumes"])


def test_what_a_node_must_have() -> None:
    on_cpu = container()["resources"]
    assert on_cpu == {"requests": {"cpu": "2000m", "memory": "3000Mi"}, "limits": {"memory": "3000Mi"}}
    on_cuda = container(dataclasses.replace(JOB, device="cuda", gpus=4))["resources"]
    assert on_cuda["limits"]["nvidia.com/gpu"] == on_cuda["requests"]["nvidia.com/gpu"] == "4"


def test_settings_survive_json() -> None:
    assert read(TrainingJob, json.loads(json.dumps(dataclasses.asdict(JOB)))) == JOB


@pytest.mark.parametrize("project", ["wine", "a" * 53, "a" * 37 + "-b"])
def test_names_leave_room_for_a_pod_s(project: str) -> None:
    name = training_job.name(project, "0123456789abcdef")
    assert len(f"{name}-999-abcde") <= 63
    assert name.endswith("-train-01234567")
    assert "--" not in name


def test_options_that_need_each_other() -> None:
    assert training_cluster.chosen(1, None, None) is None
    with pytest.raises(ConfigError, match=r"--nodes=2 trains on a cluster.*pass --kubeconfig and --registry"):
        training_cluster.chosen(2, None, None)
    with pytest.raises(ConfigError, match="--nodes=0 is out of range; use 1 or more"):
        training_cluster.chosen(0, None, None)


def pod(index: int, phase: str = "Running", **status: Any) -> dict[str, Any]:
    name = f"{JOB.name}-{index}-x"
    return {
        "metadata": {"name": name, "labels": {INDEX_LABEL: str(index)}},
        "status": {"phase": phase, **status},
    }


def ready(index: int) -> dict[str, Any]:
    return pod(index, conditions=[{"type": "Ready", "status": "True"}])


def ended(reason: str, code: int) -> dict[str, Any]:
    return {"terminated": {"reason": reason, "exitCode": code}}


UNSCHEDULABLE = {
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
        }
    ]
}


def test_training_goes_on_while_pods_run() -> None:
    pods = [pod(0), pod(1), pod(2)]
    assert training_watch.judge(JOB, {}, pods) == Progressing("3 of 3 pods run")


@pytest.mark.parametrize("index", [0, 2])
def test_any_pod_may_have_the_result(index: int) -> None:
    pods = [pod(0), pod(1, "Succeeded"), ready(index)]
    assert training_watch.judge(JOB, {}, pods) == Done(f"{JOB.name}-{index}-x")


def test_a_pod_that_is_about_to_end_has_no_result() -> None:
    leaving = ready(0)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not isinstance(training_watch.judge(JOB, {}, [leaving, pod(1), pod(2)]), Done)


@pytest.mark.parametrize(
    ("job", "pods", "cause", "patience"),
    [
        (None, [], "the Job was deleted during the training", 0),
        ({}, [], "the cluster creates no pod", 90),
        ({}, [pod(0), pod(1, "Pending", **UNSCHEDULABLE), pod(2)], "Insufficient nvidia.com/gpu", 90),
        ({}, [pod(0), pod(1), pod(2, "Pending")], "2 of 3 pods run after 1800 s", 1800),
        ({}, [pod(0), pod(1, "Succeeded"), pod(2)], "the pod that had the result was lost", 60),
        (
            {},
            [pod(0, containerStatuses=[{"state": {}, "lastState": ended("OOMKilled", 137)}])],
            "ran out of memory (exit 137)",
            0,
        ),
        (
            {"status": {"conditions": [{"type": "Failed", "status": "True", "message": "too many\nfailed"}]}},
            [],
            "the pods ended again and again: too many failed",
            0,
        ),
    ],
)
def test_what_goes_wrong(job: Any, pods: list[dict[str, Any]], cause: str, patience: float) -> None:
    verdict = training_watch.judge(JOB, job, pods)
    assert isinstance(verdict, Failed)
    assert cause in verdict.cause
    assert "\n" not in verdict.cause
    assert verdict.patience_s == patience


def test_a_pull_may_fail_for_a_moment() -> None:
    waiting = {"reason": "ErrImagePull", "message": "rpc error: not found"}
    status = {"image": JOB.image, "state": {"waiting": waiting}}
    verdict = training_watch.judge(JOB, {}, [pod(0, "Pending", containerStatuses=[status])])
    assert isinstance(verdict, Failed)
    assert f"can't pull {JOB.image}: not found" in verdict.cause
    assert verdict.patience_s == 30


def test_a_line_of_a_log_is_passed_on_once() -> None:
    first = "2026-01-01T00:00:01.1Z one\n2026-01-01T00:00:01.2Z two words\n"
    lines, last = training_watch.fresh(first, "")
    assert (lines, last) == (["one", "two words"], "2026-01-01T00:00:01.2Z")
    again = first + "2026-01-01T00:00:01.3Z \n2026-01-01T00:00:02.0Z three\n"
    assert training_watch.fresh(again, last) == (["", "three"], "2026-01-01T00:00:02.0Z")
    assert training_watch.fresh("", last) == ([], last)


def test_pods_are_told_by_their_index() -> None:
    pods = [pod(2), pod(0), pod(1, "Pending"), pod(10)]
    assert [index for index, _ in training_watch.running(pods)] == [0, 2, 10]
    pods[0]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert training_watch.answering(pods) == [f"{JOB.name}-0-x", f"{JOB.name}-10-x"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Epoch 1:  50%\rEpoch 1: 100%\r", "Epoch 1: 100%"),
        ("\r 10%|#    |\r 20%|##   |", " 20%|##   |"),
        ("zzz\x0cpage", "zzz\x0cpage"),
        ("~\x85next", "~\x85next"),
        ("~\u2028next\x1cother", "~\u2028next\x1cother"),
        ("~\x00~", "~\x00~"),
        ("~" * 1_000_000, "~" * 1_000_000),
        ("", ""),
    ],
)
def test_whatever_a_program_writes_no_later_line_is_lost(written: str, shown: str) -> None:
    first = f"2026-01-01T00:00:01.1Z {written}\n2026-01-01T00:00:01.12Z two\n"
    lines, last = training_watch.fresh(first, "")
    assert lines == [shown, "two"]
    again = f"{first}2026-01-01T00:00:02Z Traceback\n"
    assert training_watch.fresh(again, last) == (["Traceback"], "2026-01-01T00:00:02Z")
