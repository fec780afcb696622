"""The steps of a rolling release: wait until it is whole, ask it for a prediction, take it back."""

import dataclasses
import json
import time
from typing import Any

from ml_pipeline.cluster.client import Cluster, Refused, Unreachable
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release import manifests, rollout
from ml_pipeline.release.manifests import Release
from ml_pipeline.release.rollout import Failed, GoodRelease, Progressing, Ready
from ml_pipeline.serving.contract import PORT

POLL_S = 0.3
BLIND_S = 30  # an API server that restarts is waited for this long
UNDO_S = 60  # the least: a short release time-out must not cut its undo short


def apply(cluster: Cluster, wanted: Release, *, first: bool) -> dict[str, Any]:
    """Apply the Service and the Deployment, in a new namespace where there is none; return the latter.

    Refused, it leaves all as it was; of a `first` release nothing.
    """
    try:
        cluster.apply("services", manifests.service(wanted))
    except Refused as refused:
        if refused.code != 404:
            raise
        cluster.create_namespace(manifests.namespace(wanted.namespace))
        cluster.apply("services", manifests.service(wanted))
    try:
        return cluster.apply("deployments", manifests.deployment(wanted))
    except Refused:
        if first:
            cluster.delete("services", wanted.name)
        raise


def judge(cluster: Cluster, name: str, overdue_s: float | None = None) -> Progressing | Ready | Failed:
    """Look once. With `overdue_s`, what is still progressing after so many seconds has failed."""
    deployment = cluster.get("deployments", name)
    if deployment is None:
        return Failed("the Deployment was deleted meanwhile", "find out who deletes it")
    labels = manifests.selector(name)
    replicasets, pods = cluster.list("replicasets", labels), cluster.list("pods", labels)
    verdict = rollout.judge(deployment, replicasets, pods)
    if isinstance(verdict, Progressing) and overdue_s is not None:
        return rollout.not_ready(rollout.newest_pods(deployment, replicasets, pods), overdue_s)
    return verdict


def settle(cluster: Cluster, wanted: Release, *, ask: bool) -> tuple[Ready, dict[str, Any]]:
    """Wait until the newest revision is whole. Raises StageFailure as soon as it will not be.

    With `ask`, its first pod that is ready is asked for a prediction, which is returned: a model
    that answers wrongly is found before the other pods follow.
    """
    prediction: dict[str, Any] = {}
    started = seen = time.monotonic()
    said, trouble, since = "", "", started
    while True:
        now = time.monotonic()
        late = now - started if now - started > wanted.timeout_s else None
        try:
            verdict = judge(cluster, wanted.name, late)
        except Unreachable:
            if now - seen > BLIND_S:
                raise
            time.sleep(POLL_S)
            continue
        seen = now
        if ask and not prediction and isinstance(verdict, Ready | Progressing) and verdict.pods:
            prediction = predict(cluster, wanted, verdict.pods[0])
        if isinstance(verdict, Ready):
            return verdict, prediction
        if isinstance(verdict, Failed):
            if verdict.cause != trouble:
                trouble, since = verdict.cause, now
            if late or now - since >= verdict.patience_s:
                raise _with_log(cluster, verdict)
        else:
            trouble = ""
            if verdict.text != said:
                said = verdict.text
                print(f"deploy: {said}", flush=True)
        time.sleep(POLL_S)


def _with_log(cluster: Cluster, failed: Failed) -> StageFailure:
    line = cluster.last_log_line(failed.pod) if failed.pod else ""
    return StageFailure(f"{failed.cause} (its last line: {line})" if line else failed.cause, failed.hint)


def predict(cluster: Cluster, wanted: Release, pod: str) -> dict[str, Any]:
    """Ask the pod for its own example's prediction: {"request", "answer"}. Raises StageFailure."""
    model = _ask(cluster, pod, "/model")
    if not isinstance(model.get("example"), dict):
        raise StageFailure(f"pod {pod}'s /model names no example", "build the image with build-image")
    request = {"instances": [model["example"]]}
    answer = _ask(cluster, pod, "/predict", request)
    predictions = answer.get("predictions")
    if not isinstance(predictions, list) or len(predictions) != 1 or predictions[0] is None:
        said = json.dumps(answer)[:200]
        raise StageFailure(
            f"pod {pod} answers /predict with no prediction: {said}", "mend the model's server"
        )
    about = answer.get("model")
    version = about.get("version") if isinstance(about, dict) else None
    if wanted.version and version != wanted.version:
        cause = f"pod {pod} answers as model version {version}, and {wanted.version} was released"
        raise StageFailure(cause, "release the image of that version")
    return {"request": request, "answer": answer}


def _ask(cluster: Cluster, pod: str, path: str, body: Any = None) -> dict[str, Any]:
    code, data = _answer(cluster, pod, path, body)
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if code != 200 or not isinstance(answer, dict):
        cause = f"pod {pod} answers {code} to {path}: {one_line(data)}"
        raise StageFailure(cause, "run the image by hand and ask it the same")
    return answer


def _answer(cluster: Cluster, pod: str, path: str, body: Any) -> tuple[int, bytes]:
    for _ in range(3):
        try:
            code, data = cluster.ask(pod, PORT, path, body)
            if code != 503:  # busy; so may a real caller's first try be
                return code, data
        except Unreachable:
            pass  # the proxy on the way may be a moment behind
        time.sleep(0.5)
    return cluster.ask(pod, PORT, path, body)


def write_history(cluster: Cluster, name: str, good: tuple[GoodRelease, ...]) -> None:
    """Make the Deployment remember which releases were good, newest first."""
    cluster.annotate("deployments", name, rollout.annotation(good))


def undo(
    cluster: Cluster, wanted: Release, failure: StageFailure, good: tuple[GoodRelease, ...]
) -> StageFailure:
    """Go back to the last good release, or to nothing where there is none; return what to raise."""
    print(f"deploy: {failure.cause}; undoing", flush=True)
    details = {"action": "undone", "name": wanted.name, "namespace": wanted.namespace, "image": wanted.image}
    try:
        replicasets = cluster.list("replicasets", manifests.selector(wanted.name))
        kept = rollout.kept(good, replicasets)
        if kept:
            last = kept[0]
            old = Release(
                wanted.name, wanted.namespace, last.image, last.version, last.replicas, last.timeout_s
            )
            cluster.apply("deployments", manifests.deployment(old, rollout.template(last, replicasets)))
            write_history(cluster, wanted.name, good)
            settle(cluster, dataclasses.replace(old, timeout_s=max(UNDO_S, wanted.timeout_s)), ask=False)
            outcome, details["serving"] = f"undone, the old release ({old.digest}) is serving", old.image
        else:
            _delete(cluster, wanted.name)
            outcome = "undone, and nothing is serving, as no release before it was good"
    except StageFailure as second:
        details["action"] = "broken"
        cause = f"{failure.cause}; the undo failed too: {second.cause}"
        return StageFailure(cause, "make the same call again when the cluster is well", details)
    return StageFailure(f"{failure.cause}; {outcome}", failure.hint, details)


def _delete(cluster: Cluster, name: str) -> None:
    """Delete Service and Deployment; a namespace stays, for others may use it by now."""
    cluster.delete("services", name)
    cluster.delete("deployments", name)
    deadline = time.monotonic() + manifests.GRACE_S + 30
    while cluster.get("deployments", name) is not None:
        if time.monotonic() > deadline:
            raise StageFailure(f"the pods of {name} do not end", "look at their node")
        time.sleep(POLL_S)
