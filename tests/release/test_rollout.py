"""Rollout decisions, on objects as the API server returns them."""

from typing import Any

import pytest

from ml_pipeline.release import rollout
from ml_pipeline.release.rollout import Failed, GoodRelease, Progressing, Ready

IMAGE = "localhost:5000/adult@sha256:" + "ab" * 32
A, B, C = (GoodRelease(f"adult-{letter}", f"image-{letter}", letter, 2, 60) for letter in "abc")


def _deployment(good: tuple[GoodRelease, ...] = (), revision: int = 2, **status: Any) -> dict[str, Any]:
    whole = {"observedGeneration": 4, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}
    return {
        "metadata": {
            "name": "adult",
            "uid": "deployment",
            "generation": 4,
            "annotations": {rollout.REVISION: str(revision)} | rollout.annotation(good),
        },
        "spec": {"replicas": 2, "progressDeadlineSeconds": 60},
        "status": whole | status,
    }


def _replicaset(letter: str, revision: int, owner: str = "deployment") -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "adult", rollout.HASH: letter}
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


def _pod(name: str, owner: str = "b", *, ready: bool = True, **container: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "ownerReferences": [{"uid": owner, "controller": True}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"image": IMAGE, "state": {"running": {}}} | container],
        },
    }


def _waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}} | more


SETS = [_replicaset("a", 1), _replicaset("b", 2)]
GOOD_PODS = [_pod("one"), _pod("two")]


def _failed(pod: dict[str, Any]) -> Failed:
    verdict = rollout.judge(_deployment(), SETS, [_pod("one"), pod])
    assert isinstance(verdict, Failed)
    return verdict


def test_ready_when_all_pods_are_of_the_newest_revision() -> None:
    assert rollout.judge(_deployment(), SETS, GOOD_PODS) == Ready("adult-b", 2, ("one", "two"))


@pytest.mark.parametrize(
    "status",
    [
        {"observedGeneration": 3},  # the counts are those of the release before
        {"updatedReplicas": 1},
        {"availableReplicas": 1},
        {"replicas": 3},  # an old pod is still there
    ],
)
def test_progressing_until_all_counts_agree(status: dict[str, Any]) -> None:
    assert isinstance(rollout.judge(_deployment(**status), SETS, GOOD_PODS), Progressing)


def test_progressing_while_the_newest_revision_has_no_replicaset() -> None:
    assert isinstance(rollout.judge(_deployment(revision=3), SETS, GOOD_PODS), Progressing)


def test_another_deployments_replicaset_of_the_same_revision_does_not_count() -> None:
    sets = [_replicaset("x", 2, owner="other"), *SETS]
    live = rollout.live_replicaset(_deployment(), sets)
    assert live is not None
    assert live["metadata"]["name"] == "adult-b"


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"])
def test_an_image_that_cannot_be_pulled(reason: str) -> None:
    chain = f'rpc error: code = NotFound desc = failed to resolve reference "{IMAGE}": {IMAGE}: not found'
    verdict = _failed(_pod("two", ready=False, **_waiting(reason, chain)))
    assert verdict.cause == f"the cluster can't pull {IMAGE}: not found"
    assert "registry" in verdict.hint
    assert verdict.patience_s == 0


def test_a_pull_error_keeps_the_end_of_a_long_chain() -> None:
    chain = (
        f'failed to do request: Head "http://r/{IMAGE}": dial tcp 10.0.0.1:5000: connect: connection refused'
    )
    verdict = _failed(_pod("two", **_waiting("ErrImagePull", chain)))
    assert verdict.cause.endswith("connect: connection refused")


@pytest.mark.parametrize(
    "reason", ["CreateContainerError", "CreateContainerConfigError", "RunContainerError"]
)
def test_a_container_that_cannot_be_created(reason: str) -> None:
    verdict = _failed(_pod("two", **_waiting(reason, "no such file\n or directory")))
    assert (
        verdict.cause == f"the cluster can't start pod two's container: {reason}: no such file or directory"
    )


def test_a_crash_names_the_exit_code_and_the_last_line() -> None:
    ended = {"exitCode": 3, "reason": "Error", "message": "Traceback\n  ...\nValueError: broken\n\n"}
    verdict = _failed(_pod("two", **_waiting("CrashLoopBackOff", lastState={"terminated": ended})))
    assert verdict.cause == (
        "pod two ends again and again, with exit code 3 (its last line: ValueError: broken)"
    )


def test_a_crash_without_a_word() -> None:
    verdict = _failed(_pod("two", **_waiting("CrashLoopBackOff")))
    assert verdict.cause == "pod two ends again and again, with exit code unknown"


def test_out_of_memory_is_said_so() -> None:
    crash = _waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
    assert _failed(_pod("two", **crash)).cause == "pod two ran out of memory"


def test_no_node_for_a_pod_is_waited_for_a_while() -> None:
    pod = _pod("two", ready=False)
    message = "0/1 nodes are available: 1 Insufficient memory."
    pod["status"] = {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        ],
    }
    verdict = _failed(pod)
    assert "Insufficient memory" in verdict.cause
    assert verdict.patience_s > 0


def test_pods_that_may_not_be_created() -> None:
    refused = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    verdict = rollout.judge(_deployment(conditions=[refused]), SETS, [])
    assert isinstance(verdict, Failed)
    assert "exceeded quota" in verdict.cause
    assert verdict.patience_s > 0


def test_the_deadline_says_which_pod_lacks_what() -> None:
    overdue = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    deployment = _deployment(conditions=[overdue], availableReplicas=1)
    verdict = rollout.judge(deployment, SETS, [_pod("one"), _pod("two", ready=False)])
    assert isinstance(verdict, Failed)
    assert verdict.cause == "pod two runs, but /ready does not answer 200 after 60 s"
    assert verdict.pod == "two"


@pytest.mark.parametrize("change", ["old", "ending", "ended"])
def test_trouble_of_pods_that_do_not_count_is_ignored(change: str) -> None:
    pod = _pod("bad", owner="a" if change == "old" else "b", ready=False, **_waiting("CrashLoopBackOff"))
    if change == "ending":
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    if change == "ended":
        pod["status"]["phase"] = "Failed"
    assert isinstance(rollout.judge(_deployment(), SETS, [*GOOD_PODS, pod]), Ready)


def test_history_survives_the_annotation() -> None:
    assert rollout.history(_deployment((B, A))) == (B, A)
    assert rollout.history(None) == ()


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"image": "x"}]', "3"])
def test_an_annotation_that_is_not_ours_to_read_is_no_history(text: str) -> None:
    deployment = _deployment()
    deployment["metadata"]["annotations"][rollout.GOOD] = text
    assert rollout.history(deployment) == ()


def test_history_holds_each_replicaset_once_and_ends() -> None:
    assert rollout.remember((B, A), A) == (A, B)
    assert rollout.remember((A, B), A) == (A, B)
    many = tuple(GoodRelease(f"adult-{i}", "", None, 1, 60) for i in range(rollout.REMEMBERED))
    assert rollout.remember(many, A) == (A, *many[:-1])


@pytest.mark.parametrize(
    ("good", "back"),
    [
        ((), ()),
        ((B,), ()),  # the live one is the first
        ((B, A), (A,)),
        ((A,), (A,)),  # the live one, b, was never good: killed half-way
        ((C, B, A), (A,)),  # someone went back to b by hand
        ((B, C, A), (A,)),  # c's ReplicaSet is gone
    ],
)
def test_where_a_rollback_goes(good: tuple[GoodRelease, ...], back: tuple[GoodRelease, ...]) -> None:
    assert rollout.rollback_history(_deployment(good), SETS) == back


def test_a_template_is_taken_from_its_replicaset_as_it_ran() -> None:
    found = rollout.template(A, SETS)
    assert found == {"metadata": {"labels": {"app.kubernetes.io/name": "adult"}}, "spec": {"image": "a"}}
