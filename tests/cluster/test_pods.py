"""Why pods do not run, from pods as the API server returns them."""

from typing import Any

import pytest

from ml_pipeline.cluster import pods
from ml_pipeline.cluster.pods import Failed

IMAGE = "localhost:5000/adult@sha256:" + "ab" * 32


def _pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "two"}, "status": {"phase": "Running", **status}}


def _waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    container = {"image": IMAGE, "state": {"waiting": {"reason": reason, "message": message}}}
    return _pod(containerStatuses=[container | more])


def _problem(pod: dict[str, Any]) -> Failed:
    problem = pods.pod_problem(pod)
    assert problem is not None
    return problem


def test_a_pod_that_runs_has_no_problem() -> None:
    assert pods.pod_problem(_pod(containerStatuses=[{"image": IMAGE, "state": {"running": {}}}])) is None
    assert pods.pod_problem(_pod()) is None


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"])
def test_an_image_that_cannot_be_pulled(reason: str) -> None:
    chain = f'rpc error: code = NotFound desc = failed to resolve reference "{IMAGE}": {IMAGE}: not found'
    problem = _problem(_waiting(reason, chain))
    assert problem.cause == f"the cluster can't pull {IMAGE}: not found"
    assert "registry" in problem.hint
    assert (problem.kind, problem.patience_s) == ("pull", 0)


def test_a_pull_error_keeps_the_end_of_a_long_chain() -> None:
    chain = (
        f'failed to do request: Head "http://r/{IMAGE}": dial tcp 10.0.0.1:5000: connect: connection refused'
    )
    assert _problem(_waiting("ErrImagePull", chain)).cause.endswith("connect: connection refused")


@pytest.mark.parametrize(
    "reason", ["CreateContainerError", "CreateContainerConfigError", "RunContainerError"]
)
def test_a_container_that_cannot_be_created(reason: str) -> None:
    problem = _problem(_waiting(reason, "no such file\n or directory"))
    assert (
        problem.cause == f"the cluster can't start pod two's container: {reason}: no such file or directory"
    )


@pytest.mark.parametrize(
    "message",
    [
        f'failed to pull and unpack image "{IMAGE}": no match for platform in manifest: not found',
        f"rpc error: code = NotFound desc = no match for platform in manifest {IMAGE[-71:]}: not found",
    ],
)
def test_an_image_that_has_no_form_for_the_nodes_platform(message: str) -> None:
    problem = _problem(_waiting("ErrImagePull", message))
    assert problem.cause == f"image {IMAGE} is not for the platform of the nodes"
    assert (problem.hint, problem.kind) == (pods.PLATFORM, "pull")


def test_a_program_for_another_platform() -> None:
    line = "exec /opt/venv/bin/python: exec format error"
    crashed = _waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 255, "message": line}})
    assert _problem(crashed).hint == pods.PLATFORM
    assert _problem(_waiting("RunContainerError", f"runc failed: {line}")).hint == pods.PLATFORM


def test_a_crash_names_the_exit_code_and_the_last_line() -> None:
    ended = {"exitCode": 3, "reason": "Error", "message": "Traceback\n  ...\nValueError: broken\n\n"}
    problem = _problem(_waiting("CrashLoopBackOff", lastState={"terminated": ended}))
    assert problem.cause == (
        "pod two exits again and again, with exit code 3 (its last line: ValueError: broken)"
    )


def test_a_crash_without_a_word() -> None:
    problem = _problem(_waiting("CrashLoopBackOff"))
    assert problem.cause == "pod two exits again and again, with exit code unknown"


def test_out_of_memory_is_named() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    assert _problem(_waiting("CrashLoopBackOff", lastState=ended)).cause == "pod two ran out of memory"


def test_no_node_for_a_pod_is_waited_for_a_while() -> None:
    message = "0/1 nodes are available: 1 Insufficient memory."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    problem = _problem(_pod(phase="Pending", conditions=[condition]))
    assert "Insufficient memory" in problem.cause
    assert problem.kind == "unschedulable"
    assert problem.patience_s > 0


def test_a_pod_lives_until_it_has_ended_or_was_asked_to() -> None:
    assert pods.lives(_pod())
    assert not pods.lives(_pod(phase="Succeeded"))
    leaving = _pod()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not pods.lives(leaving)
