"""Release an image to Kubernetes, go back to the release before, or show the state of the release.

    python -m ml_pipeline.release.deploy release --config settings.json --kubeconfig FILE

A release is rolling: no old pod ends before a new one is ready. It counts when a pod of the new
revision gave a real prediction; before that anything that goes wrong, a signal included, is
undone. If the program was killed, the same call again completes the release: every write may be
done twice, and the Deployment remembers which revisions were good.

Needs in the namespace (manifests.ROLE_RULES, as a Role): deployments get, create, patch, delete;
services get, create, patch, delete; replicasets and pods list; pods/log get; pods/proxy get, create.
Where the namespace does not exist yet, also: create namespaces.
"""

import dataclasses
import json
import time
from pathlib import Path
from typing import NoReturn

from ml_pipeline.cluster import command_line
from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.errors import Refused
from ml_pipeline.cluster.fields import Json, Object, annotations_of, containers_of, integer, name_of, text
from ml_pipeline.cluster.objects import selector
from ml_pipeline.cluster.pods import Failed, Progressing
from ml_pipeline.common.document import ReleaseRecord
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.common.reading import read_settings
from ml_pipeline.release import history, manifests, rolling, rollout
from ml_pipeline.release.history import GoodRelease
from ml_pipeline.release.manifests import Release
from ml_pipeline.release.rollout import Ready


def main() -> NoReturn:
    """Run the command line's action, and end the process."""
    parser = command_line.parser("release.deploy", __doc__, "manifests.Release")
    parser.add_argument(
        "action",
        choices=["release", "rollback", "status"],
        help="release the image in --config, go back to the release before, or only show the state",
    )
    options = parser.parse_args()
    stage = "deploy" if options.action == "release" else options.action
    run_stage(stage, lambda: act(options.action, options.config, options.kubeconfig, options.api_server))


def act(action: str, config: Path, kubeconfig: Path, api_server: str | None) -> dict[str, object]:
    """Do one of the three actions; return the release record."""
    started = time.monotonic()
    settings = read_settings(Release, config)
    cluster = command_line.connect(kubeconfig, api_server, settings.namespace)
    if action == "status":
        record = status(cluster, settings)
    else:
        command_line.fail_on_signals()
        effect = release if action == "release" else rollback
        record = dataclasses.asdict(effect(cluster, settings))
    record["seconds"] = round(time.monotonic() - started, 3)
    print(json.dumps(record, indent=1))
    return record


def release(cluster: Cluster, new: Release) -> ReleaseRecord:
    """Bring `new` to all pods, or leave what served before; return the release record."""
    if not new.digest:
        cause = f"image {new.image!r} has no digest"
        raise StageFailure(cause, "pass NAME@sha256:…, as publish returns it")
    before = cluster.owned("deployments", new.name)
    cluster.owned("services", new.name)
    good = history.history(before)
    served = before is not None and _is_good(cluster, new, before, good)
    after = None
    try:
        after = rolling.apply(cluster, new, first=before is None)
        # The API server counts a Deployment's generation up when, and only when, its spec changes.
        served = served and _generation(after) == _generation(before)
        ready, prediction = rolling.settle(cluster, new)
        command_line.ignore_signals()
        newest = GoodRelease(ready.replicaset, new.image, new.version, new.replicas, new.timeout_s)
        if history.remember(good, newest) != good:
            rolling.write_history(cluster, new.name, history.remember(good, newest))
    except StageFailure as failure:
        command_line.ignore_signals()
        if after is None and isinstance(failure, Refused):
            raise
        if served:
            cause = f"{failure.cause}; nothing was changed, for this is the release that served before"
            raise StageFailure(cause, f"{failure.hint}, or roll back") from None
        raise rolling.undo(cluster, new, failure, good) from None
    action = "created" if before is None else "unchanged" if served else "updated"
    return _record(action, new, ready, prediction, good[0].image if good else None)


def rollback(cluster: Cluster, settings: Release) -> ReleaseRecord:
    """Go to the good release before the live one, with as many pods as run now; return the release record."""
    before = cluster.owned("deployments", settings.name)
    if before is None:
        where = f"{settings.name} in namespace {settings.namespace}"
        raise StageFailure(f"there is no release of {where} to roll back", "release an image first")
    replicasets = cluster.list("replicasets", selector(settings.name))
    good = history.history(before)
    back = history.rollback_history(before, replicasets)
    if not back:
        cause = "there is no good release before this one to roll back to"
        raise StageFailure(cause, "release another image")
    replicas = integer(before, "spec", "replicas")
    target = dataclasses.replace(settings, image=back[0].image, version=back[0].version, replicas=replicas)
    try:
        cluster.apply("deployments", manifests.deployment(target, history.template(back[0], replicasets)))
        ready, prediction = rolling.settle(cluster, target)
        command_line.ignore_signals()
        rolling.write_history(cluster, settings.name, back)
    except StageFailure as failure:
        command_line.ignore_signals()
        raise rolling.undo(cluster, target, failure, good) from None
    return _record("rolled-back", target, ready, prediction, _image(before))


def status(cluster: Cluster, settings: Release) -> dict[str, object]:
    """Return what is released now, and change nothing. `good` is newest first, in the order of rollbacks."""
    deployment = cluster.get("deployments", settings.name)
    record: dict[str, object] = {
        "action": "status",
        "name": settings.name,
        "namespace": settings.namespace,
    }
    if deployment is None:
        return record | {"state": "absent", "good": []}
    state = rolling.judge(cluster, settings.name)
    good = history.history(deployment)
    return record | {
        "state": type(state).__name__.lower(),
        "message": _message(state),
        "revision": rollout.revision(deployment),
        "image": _image(deployment),
        "version": annotations_of(deployment).get("ml-pipeline/model-version"),
        "replicas": integer(deployment, "spec", "replicas"),
        "ready": integer(deployment, "status", "readyReplicas"),
        "good": [{"image": entry.image, "version": entry.version} for entry in good],
    }


def _message(state: Progressing | Ready | Failed) -> str:
    if isinstance(state, Failed):
        return state.cause
    return state.text if isinstance(state, Progressing) else ""


def _image(deployment: Object) -> str:
    return text(containers_of(deployment)[0], "image")


def _generation(deployment: Json) -> int:
    return integer(deployment, "metadata", "generation")


def _is_good(cluster: Cluster, new: Release, before: Object, good: tuple[GoodRelease, ...]) -> bool:
    """Tell whether what runs now is the last good release."""
    live = rollout.live_replicaset(before, cluster.list("replicasets", selector(new.name)))
    return bool(live and good and good[0].replicaset == name_of(live))


def _record(
    action: str, release: Release, ready: Ready, prediction: Object, previous: str | None
) -> ReleaseRecord:
    return ReleaseRecord(
        action=action,
        name=release.name,
        namespace=release.namespace,
        revision=ready.revision,
        image=release.image,
        digest=release.digest,
        previous_image=previous,
        version=release.version,
        replicas=release.replicas,
        ready=len(ready.pods),
        prediction=prediction,
    )


if __name__ == "__main__":
    main()
