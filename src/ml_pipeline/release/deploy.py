"""Release an image to Kubernetes, go back, or look: `release`, `rollback`, `status`.

A release is rolling: no old pod ends before a new one is ready. It counts when a pod of the new
revision gave a real prediction; before that anything that goes wrong, a signal included, is
undone. Killed without a word, the same call again brings it to an end: every write may be done
twice, and the Deployment remembers which revisions were good.

Needs in the namespace (manifests.ROLE_RULES, as a Role): deployments get, create, patch, delete;
services get, create, patch, delete; replicasets and pods list; pods/log get; pods/proxy get, create.
Where the namespace does not exist yet, also: create namespaces.
"""

import argparse
import dataclasses
import json
import signal
import time
from pathlib import Path
from typing import Any

from ml_pipeline.cluster.client import Cluster, Refused
from ml_pipeline.cluster.kubeconfig import read_kubeconfig
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.release import manifests, rolling, rollout
from ml_pipeline.release.manifests import Release
from ml_pipeline.release.rollout import GoodRelease, Ready

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
    cluster = Cluster(read_kubeconfig(kubeconfig, api_server), wanted.namespace)
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
    before = cluster.owned("deployments", wanted.name)
    cluster.owned("services", wanted.name)
    good = rollout.history(before)
    stood = before is not None and _is_good(cluster, wanted, before, good)
    after = None
    try:
        after = rolling.apply(cluster, wanted, first=before is None)
        # The API server counts a Deployment's generation up when, and only when, its spec changes.
        stood = stood and before is not None and _generation(after) == _generation(before)
        ready, prediction = rolling.settle(cluster, wanted, ask=True)
        _ignore_signals()
        newest = GoodRelease(
            ready.replicaset, wanted.image, wanted.version, wanted.replicas, wanted.timeout_s
        )
        if rollout.remember(good, newest) != good:
            rolling.write_history(cluster, wanted.name, rollout.remember(good, newest))
    except StageFailure as failure:
        _ignore_signals()
        if after is None and isinstance(failure, Refused):
            raise
        if stood:
            cause = f"{failure.cause}; nothing was changed, for this is the release that served before"
            raise StageFailure(cause, f"{failure.hint}, or roll back") from None
        raise rolling.undo(cluster, wanted, failure, good) from None
    action = "created" if before is None else "unchanged" if stood else "updated"
    return _record(action, wanted, ready, prediction, good[0].image if good else None)


def rollback(cluster: Cluster, wanted: Release) -> dict[str, Any]:
    """Go to the good release before the live one, with as many pods as run now."""
    before = cluster.owned("deployments", wanted.name)
    if before is None:
        where = f"{wanted.name} in namespace {wanted.namespace}"
        raise StageFailure(f"there is no release of {where} to roll back", "release one first")
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
        ready, prediction = rolling.settle(cluster, target, ask=True)
        _ignore_signals()
        rolling.write_history(cluster, wanted.name, back)
    except StageFailure as failure:
        _ignore_signals()
        raise rolling.undo(cluster, target, failure, good) from None
    left = before["spec"]["template"]["spec"]["containers"][0]["image"]
    return _record("rolled-back", target, ready, prediction, left)


def status(cluster: Cluster, wanted: Release) -> dict[str, Any]:
    """What is there now; changes nothing. `good` is newest first, as `rollback` would walk it."""
    found = cluster.get("deployments", wanted.name)
    record: dict[str, Any] = {"action": "status", "name": wanted.name, "namespace": wanted.namespace}
    if found is None:
        return record | {"state": "absent", "good": []}
    verdict = rolling.judge(cluster, wanted.name)
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


def _generation(deployment: dict[str, Any]) -> int:
    generation: int = deployment["metadata"]["generation"]
    return generation


def _is_good(
    cluster: Cluster, wanted: Release, before: dict[str, Any], good: tuple[GoodRelease, ...]
) -> bool:
    live = rollout.live_replicaset(before, cluster.list("replicasets", manifests.selector(wanted.name)))
    return bool(live and good and good[0].replicaset == live["metadata"]["name"])


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
