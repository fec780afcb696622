"""Where a rollout stands, on objects as the API server returns them."""

from typing import Any

import pytest

from ml_pipeline.cluster.pods import Failed, Progressing
from ml_pipeline.release import rollout
from ml_pipeline.release.rollout import Ready
from tests.release.deployments import SETS, deployment, replicaset

IMAGE = "localhost:5000/adult@sha256:" + "ab" * 32


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


CRASH: dict[str, Any] = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}
GOOD_PODS = [_pod("one"), _pod("two")]


def test_ready_when_all_pods_are_of_the_template() -> None:
    assert rollout.judge(deployment(), SETS, GOOD_PODS) == Ready("adult-b", ("one", "two"))


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
    assert isinstance(rollout.judge(deployment(**status), SETS, GOOD_PODS), Progressing)


def test_progressing_while_the_template_has_no_replicaset() -> None:
    assert isinstance(rollout.judge(deployment("c"), SETS, GOOD_PODS), Progressing)


def test_the_template_is_judged_not_the_newest_revision() -> None:
    newest = [*SETS, replicaset("c", 3)]
    assert rollout.judge(deployment(revision=3), newest, GOOD_PODS) == Ready("adult-b", ("one", "two"))


def test_a_paused_rollout_says_how_to_go_on() -> None:
    paused = deployment()
    paused["spec"]["paused"] = True
    state = rollout.judge(paused, SETS, GOOD_PODS)
    assert isinstance(state, Failed)
    assert state.cause == "the rollout of Deployment adult is paused"
    assert state.hint == "kubectl rollout resume deployment/adult"


def test_a_template_is_read_without_what_a_controller_added() -> None:
    assert rollout.template_of(SETS[0]) == rollout.template_of(deployment("a"))


def test_another_deployments_replicaset_of_the_same_revision_does_not_count() -> None:
    sets = [replicaset("b", 2, owner="other"), *SETS]
    live = rollout.live_replicaset(deployment(), sets)
    assert live is not None
    assert live is SETS[1]


def test_a_problem_of_one_pod_fails_the_rollout() -> None:
    state = rollout.judge(deployment(), SETS, [_pod("one"), _pod("two", ready=False, **CRASH)])
    assert isinstance(state, Failed)
    assert state.cause.startswith("pod two exits again and again")


def test_pods_that_the_cluster_refuses_to_create() -> None:
    refused = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    state = rollout.judge(deployment(conditions=[refused]), SETS, [])
    assert isinstance(state, Failed)
    assert "exceeded quota" in state.cause
    assert state.patience_s > 0


def test_the_deadline_says_which_pod_lacks_what() -> None:
    overdue = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    late = deployment(conditions=[overdue], availableReplicas=1)
    state = rollout.judge(late, SETS, [_pod("one"), _pod("two", ready=False)])
    assert isinstance(state, Failed)
    assert state.cause == "pod two runs, but /ready does not answer 200 after 60 s"
    assert state.pod == "two"
    # An undo begins while the cluster still says it of the template before.
    timed = rollout.judge(late, SETS, [_pod("one"), _pod("two", ready=False)], is_timed=True)
    assert timed == Progressing("1 of 2 pods ready", ("one",))


@pytest.mark.parametrize("change", ["old", "ending", "ended"])
def test_problems_of_other_pods_are_ignored(change: str) -> None:
    pod = _pod("bad", owner="a" if change == "old" else "b", ready=False, **CRASH)
    if change == "ending":
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    if change == "ended":
        pod["status"]["phase"] = "Failed"
    assert isinstance(rollout.judge(deployment(), SETS, [*GOOD_PODS, pod]), Ready)
