"""Release an image to Kubernetes, go back, or look: `release`, `rollback`, `status`.

A release is rolling: no old pod ends before a new one is ready. It counts when a pod of the new
revision gave a real prediction; before that anything that goes wrong, a signal included, is
undone. Killed without a word, the same call again brings it to an end: every write may be done
twice, and the Deployment remembers which revisions were good.

Needs in the namespace (manifests.ROLE_RULES, as a Role): deployments get, create, patch, delete;
services create, patch, delete; replicasets and pods list; pods/log get; pods/proxy get, create.
Where the namespace does not exist yet, also: create namespaces.
"""

import argparse
import dataclasses
import json
import signal
import time
from pathlib import Path
from typing import Any

from ml_pipeline import manifests, rollout
from ml_pipeline.manifests import Release
from ml_pipeline.rollout import Failed, GoodRelease, Ready
from ml_pipeline.stages.cluster import Cluster, Refused, Unreachable
from ml_pipeline.stages.kubeconfig import read_kubeconfig
from ml_pipeline.stages.outcome import StageFailure, run_stage

POLL_S = 0.3
BLIND_S = 30  # an API server that restarts is waited for this long
STRATEGIES = ("rolling", "blue-green", "canary")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["release", "rollback", "status"])
    parser.add_argument("--config", type=Path, required=True, help="settings, as a JSON file")
    parser.add_argument(
        "--kubeconfig", type=Path, required=True, help="who may do it; its current context counts"
    )
    parser.add_argument(
        "--api-server",
        metavar="URL",
        help="connect there; TLS still checks for the host that the kubeconfig names",
    )
    options = parser.parse_args()
    run_stage("deploy", lambda: act(options.action, options.config, options.kubeconfig, options.api_server))


def act(action: str, config: Path, kubeconfig: Path, api_server: str | None) -> dict[str, Any]:
    """Do one of the three; the details are the release record."""
    started = time.monotonic()
    wanted = read_settings(config)
    cluster = Cluster(read_kubeconfig(kubeconfig), wanted.namespace, api_server)
    if action == "status":
        record = status(cluster, wanted)
    else:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _interrupt)
        record = release(cluster, wanted) if action == "release" else rollback(cluster, wanted)
    record["seconds"] = round(time.monotonic() - started, 3)
    print(json.dumps(record, indent=1))
    return record


def read_settings(config: Path) -> Release:
    """Read the settings; a strategy that is not there yet is a failure, not another strategy."""
    try:
        settings = json.loads(config.read_text())
        strategy = settings.pop("strategy", "rolling")
        wanted = manifests.release(settings)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise StageFailure(f"the settings are wrong: {error}", "see --help") from None
    if strategy not in STRATEGIES:
        raise StageFailure(f"strategy {strategy!r} is unknown", f"use one of {', '.join(STRATEGIES)}")
    if strategy != "rolling":
        raise StageFailure(f"strategy {strategy!r} is not available yet", "use rolling")
    return wanted


def release(cluster: Cluster, wanted: Release) -> dict[str, Any]:
    """Bring `wanted` to all pods, or leave what served before."""
    if not wanted.digest:
        raise StageFailure(
            f"image {wanted.image!r} names no digest", "pass NAME@sha256:…, as publish returns it"
        )
    before = cluster.get("deployments", wanted.name)
    _refuse_foreign(before, wanted)
    good = rollout.history(before)
    stood = before is not None and _is_good(cluster, wanted, before, good)
    try:
        after = _apply(cluster, wanted)
        # The API server counts a Deployment's generation up when, and only when, its spec changes.
        stood = (
            stood
            and before is not None
            and after["metadata"]["generation"] == before["metadata"]["generation"]
        )
        ready, prediction = _settle(cluster, wanted), None
        prediction = _predict(cluster, wanted, ready.pods[0])
        newest = GoodRelease(ready.replicaset, wanted.image, wanted.version, wanted.replicas)
        _write_history(cluster, wanted.name, good, rollout.remember(good, newest))
    except StageFailure as failure:
        _ignore_signals()
        if stood:
            hint = f"{failure.hint}; nothing was changed, for it is what served before: `rollback` goes further back"
            raise StageFailure(failure.cause, hint) from None
        raise _undo(cluster, wanted, failure, good) from None
    action = "created" if before is None else "unchanged" if stood else "updated"
    return _record(action, wanted, ready, prediction, good[0].image if good else None)


def rollback(cluster: Cluster, wanted: Release) -> dict[str, Any]:
    """Go to the good release before the live one, with as many pods as run now."""
    before = cluster.get("deployments", wanted.name)
    if before is None:
        where = f"{wanted.name} in namespace {wanted.namespace}"
        raise StageFailure(f"there is no release of {where} to roll back", "release one first")
    _refuse_foreign(before, wanted)
    replicasets = cluster.list("replicasets", manifests.selector(wanted.name))
    good = rollout.history(before)
    back = rollout.rollback_history(before, replicasets)
    if not back:
        raise StageFailure(
            "there is no good release before this one to roll back to", "release another image"
        )
    target = dataclasses.replace(
        wanted, image=back[0].image, version=back[0].version, replicas=before["spec"]["replicas"]
    )
    try:
        cluster.apply("deployments", manifests.deployment(target, rollout.template(back[0], replicasets)))
        ready = _settle(cluster, target)
        prediction = _predict(cluster, target, ready.pods[0])
        _write_history(cluster, wanted.name, good, back)
    except StageFailure as failure:
        _ignore_signals()
        raise _undo(cluster, target, failure, good) from None
    left = before["spec"]["template"]["spec"]["containers"][0]["image"]
    return _record("rolled-back", target, ready, prediction, left)


def status(cluster: Cluster, wanted: Release) -> dict[str, Any]:
    """What is there now; changes nothing. `good` is newest first, as `rollback` would walk it."""
    found = cluster.get("deployments", wanted.name)
    record: dict[str, Any] = {"action": "status", "name": wanted.name, "namespace": wanted.namespace}
    if found is None:
        return record | {"state": "absent", "good": []}
    verdict = _judge(cluster, wanted.name)
    metadata = found["metadata"]
    return record | {
        "state": type(verdict).__name__.lower(),
        "message": getattr(verdict, "cause", getattr(verdict, "text", "")),
        "revision": int(metadata.get("annotations", {}).get(rollout.REVISION, 0)),
        "image": found["spec"]["template"]["spec"]["containers"][0]["image"],
        "version": metadata.get("annotations", {}).get("ml-pipeline/model-version"),
        "replicas": found["spec"]["replicas"],
        "ready": found.get("status", {}).get("readyReplicas", 0),
        "good": [{"image": entry.image, "version": entry.version} for entry in rollout.history(found)],
    }


def _refuse_foreign(found: dict[str, Any] | None, wanted: Release) -> None:
    labels = found["metadata"].get("labels", {}) if found else {}
    if found and labels.get("app.kubernetes.io/managed-by") != manifests.MANAGER:
        where = f"{wanted.name} in namespace {wanted.namespace}"
        raise StageFailure(
            f"the Deployment {where} is not of {manifests.MANAGER}", "use another name or delete it"
        )


def _is_good(
    cluster: Cluster, wanted: Release, before: dict[str, Any], good: tuple[GoodRelease, ...]
) -> bool:
    live = rollout.live_replicaset(before, cluster.list("replicasets", manifests.selector(wanted.name)))
    return bool(live and good and good[0].replicaset == live["metadata"]["name"])


def _apply(cluster: Cluster, wanted: Release) -> dict[str, Any]:
    try:
        cluster.apply("services", manifests.service(wanted))
    except Refused as refused:
        if refused.code != 404:
            raise
        cluster.create_namespace(manifests.namespace(wanted.namespace))
        cluster.apply("services", manifests.service(wanted))
    return cluster.apply("deployments", manifests.deployment(wanted))


def _judge(cluster: Cluster, name: str) -> rollout.Progressing | Ready | Failed:
    deployment = cluster.get("deployments", name)
    if deployment is None:
        return Failed("the Deployment was deleted meanwhile", "find out who deletes it")
    labels = manifests.selector(name)
    return rollout.judge(deployment, cluster.list("replicasets", labels), cluster.list("pods", labels))


def _settle(cluster: Cluster, wanted: Release) -> Ready:
    """Wait until the newest revision is whole. Raises StageFailure as soon as it will not be."""
    started = seen = time.monotonic()
    said, trouble, since = "", "", started
    while True:
        now = time.monotonic()
        try:
            verdict = _judge(cluster, wanted.name)
            seen = now
        except Unreachable:
            if now - seen > BLIND_S:
                raise
            time.sleep(POLL_S)
            continue
        if isinstance(verdict, Ready):
            return verdict
        if isinstance(verdict, Failed):
            if verdict.cause != trouble:
                trouble, since = verdict.cause, now
            if now - since >= verdict.patience_s:
                raise _with_log(cluster, verdict)
        else:
            trouble = ""
            if verdict.text != said:
                said = verdict.text
                print(f"deploy: {said}", flush=True)
        if now - started > wanted.timeout_s:
            pods = cluster.list("pods", manifests.selector(wanted.name))
            late = verdict if isinstance(verdict, Failed) else rollout.not_ready(pods, now - started)
            raise _with_log(cluster, late)
        time.sleep(POLL_S)


def _with_log(cluster: Cluster, failed: Failed) -> StageFailure:
    line = cluster.last_log_line(failed.pod) if failed.pod else ""
    return StageFailure(f"{failed.cause}; its last line: {line}" if line else failed.cause, failed.hint)


def _predict(cluster: Cluster, wanted: Release, pod: str) -> dict[str, Any]:
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
    for attempt in range(4):
        try:
            code, data = cluster.ask(pod, manifests.PORT, path, body)
        except Unreachable:  # a proxy on the way may be a moment late
            if attempt == 3:
                raise
            code = 503
        if code != 503:
            break
        time.sleep(0.5)
    text = " ".join(data.decode(errors="replace").split())
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if code != 200 or not isinstance(answer, dict):
        raise StageFailure(
            f"pod {pod} answers {code} to {path}: {text[:200]}", "run the image by hand and ask it the same"
        )
    return answer


def _write_history(
    cluster: Cluster, name: str, old: tuple[GoodRelease, ...], new: tuple[GoodRelease, ...]
) -> None:
    if new != old:
        cluster.annotate("deployments", name, rollout.annotation(new))


def _undo(
    cluster: Cluster, wanted: Release, failure: StageFailure, good: tuple[GoodRelease, ...]
) -> StageFailure:
    """Go back to the last good release, or to nothing where there is none; say what came of it."""
    print(f"deploy: {failure.cause}; undoing", flush=True)
    details = {"action": "undone", "name": wanted.name, "namespace": wanted.namespace, "image": wanted.image}
    try:
        replicasets = cluster.list("replicasets", manifests.selector(wanted.name))
        kept = rollout.kept(good, replicasets)
        if kept:
            last = kept[0]
            old = dataclasses.replace(wanted, image=last.image, version=last.version, replicas=last.replicas)
            cluster.apply("deployments", manifests.deployment(old, rollout.template(last, replicasets)))
            _settle(cluster, dataclasses.replace(old, timeout_s=max(60, wanted.timeout_s)))
            outcome, details["serving"] = f"undone, the old release ({old.digest}) is serving", last.image
        else:
            _delete(cluster, wanted.name)
            outcome, details["serving"] = (
                "undone, and as no release was good before it nothing is serving",
                "",
            )
    except StageFailure as second:
        outcome, details["action"] = f"the undo failed too: {second.cause}", "broken"
        return StageFailure(
            f"{failure.cause}; {outcome}", "run the same call again when the cluster is well", details
        )
    return StageFailure(f"{failure.cause}; {outcome}", failure.hint, details)


def _delete(cluster: Cluster, name: str) -> None:
    """Delete Deployment and Service; a namespace stays, for others may use it by now."""
    cluster.delete("services", name)
    cluster.delete("deployments", name)
    deadline = time.monotonic() + manifests.GRACE_S + 30
    while cluster.get("deployments", name) is not None:
        if time.monotonic() > deadline:
            raise StageFailure(f"the pods of {name} do not end", "look at their node")
        time.sleep(POLL_S)


def _record(
    action: str, wanted: Release, ready: Ready, prediction: dict[str, Any], previous: str | None
) -> dict[str, Any]:
    return {
        "action": action,
        "name": wanted.name,
        "namespace": wanted.namespace,
        "revision": ready.revision,
        "image": wanted.image,
        "digest": wanted.digest,
        "previous_image": previous,
        "version": wanted.version,
        "replicas": wanted.replicas,
        "ready": len(ready.pods),
        "prediction": prediction,
    }


def _interrupt(number: int, _frame: object) -> None:
    raise StageFailure(f"interrupted by {signal.Signals(number).name}", "run it again")


def _ignore_signals() -> None:
    """An undo is not interrupted: its end is what the signal asks for."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    main()
