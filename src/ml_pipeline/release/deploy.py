"""Release an image to Kubernetes, go back to an earlier release, or show the state or the history.

    python -m ml_pipeline.release.deploy release --config settings.json --kubeconfig FILE

What serves is what the Service selects, and one write moves it. A release counts when a pod of it gave a real
prediction; before that anything that goes wrong, a signal included, is undone. If the program was killed, the
same call again brings the same end: every write may be done twice, and the Service remembers the releases.

Needs in the namespace (manifests.ROLE_RULES, as a Role): deployments get, create, patch, delete; leases get,
create, patch; services get, create, patch, delete; replicasets and pods list; pods/log get; pods/proxy get,
create. Where the namespace does not exist yet, also: create namespaces.
"""

import dataclasses
import json
import time
from pathlib import Path
from typing import NoReturn

from ml_pipeline.cluster import command_line
from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.fields import integer
from ml_pipeline.cluster.pods import Failed, Progressing
from ml_pipeline.common.document import ReleaseRecord
from ml_pipeline.common.outcome import run_stage
from ml_pipeline.common.reading import read_settings
from ml_pipeline.release import calls, history, ledger, rollout, state
from ml_pipeline.release.manifests import Release
from ml_pipeline.release.rollout import Ready

ACTIONS = {"release": "deploy"}


def main() -> NoReturn:
    """Run the command line's action, and end the process."""
    parser = command_line.parser("release.deploy", __doc__, "manifests.Release")
    parser.add_argument(
        "action",
        choices=["release", "rollback", "status", "history"],
        help="release the image in --config, go back to an earlier release, or show the state or the history",
    )
    parser.add_argument(
        "--to",
        default="",
        help="for rollback: the revision or the digest to go back to, as history shows them",
    )
    parser.add_argument(
        "--force", action="store_true", help="release a digest again although it was taken back before"
    )
    options = parser.parse_args()
    action: str = options.action

    def body() -> dict[str, object]:
        return act(action, options.config, options.kubeconfig, options.api_server, options.to, options.force)

    run_stage(ACTIONS.get(action, action), body)


def act(
    action: str, config: Path, kubeconfig: Path, api_server: str | None, to: str = "", force: bool = False
) -> dict[str, object]:
    """Do one of the actions; return its details: for a release or a rollback, the release record."""
    started = time.monotonic()
    settings = read_settings(Release, config)
    cluster = command_line.connect(kubeconfig, api_server, settings.namespace)
    settings = dataclasses.replace(settings, by=settings.by or cluster.user)
    if action == "history":
        rows = history.as_rows(state.read(cluster, settings.name).ledger, time.time())
        print(history.table(rows))
        return {"action": action, "name": settings.name, "namespace": settings.namespace, "releases": rows}
    if action == "status":
        record = status(cluster, settings)
    else:
        command_line.fail_on_signals()
        record = dataclasses.asdict(change(cluster, settings, action, to, force=force))
    record["seconds"] = round(time.monotonic() - started, 3)
    print(json.dumps(record, indent=1))
    return record


def change(
    cluster: Cluster, settings: Release, action: str, to: str = "", *, force: bool = False
) -> ReleaseRecord:
    """Release or roll back, and end what the call leaves running; return the release record."""
    if action == "release":
        record = calls.release(cluster, settings, force=force)
    else:
        record = calls.rollback(cluster, settings, to, force=force)
    calls.retire(cluster, settings)
    return record


def status(cluster: Cluster, settings: Release) -> dict[str, object]:
    """Return what is released now, and change nothing. `good` is newest first, in the order of rollbacks."""
    now = state.read(cluster, settings.name)
    deployment = now.live_deployment
    record: dict[str, object] = {"action": "status", "name": settings.name, "namespace": settings.namespace}
    if deployment is None:
        return record | {"state": "absent", "good": []}
    judged, entry = now.judge(deployment), ledger.serving(now.ledger)
    return record | {
        "state": type(judged).__name__.lower(),
        "message": _message(judged),
        "revision": entry.revision if entry else rollout.revision(deployment),
        "deployment": now.live,
        "image": rollout.image_of(deployment),
        "version": state.version_of(deployment),
        "replicas": integer(deployment, "spec", "replicas"),
        "ready": integer(deployment, "status", "readyReplicas"),
        "good": [{"image": entry.image, "version": entry.version} for entry in ledger.good(now.ledger)],
    }


def _message(judged: Progressing | Ready | Failed) -> str:
    if isinstance(judged, Failed):
        return judged.cause
    return judged.text if isinstance(judged, Progressing) else ""


if __name__ == "__main__":
    main()
