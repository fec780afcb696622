"""A release, a rollback, and the end of what is kept: each reads, decides, and changes under the lock."""

import dataclasses
import time

from ml_pipeline.cluster import command_line
from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.errors import Interrupted, Unreachable
from ml_pipeline.cluster.fields import Object, integer
from ml_pipeline.common.document import ReleaseRecord
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release import change, ledger, open_watch, rollout, state, steps
from ml_pipeline.release.ledger import REPLACED, ROLLED_BACK, Entry, Ledger
from ml_pipeline.release.lock import Lock
from ml_pipeline.release.manifests import Release
from ml_pipeline.release.open_watch import OpenWatch
from ml_pipeline.release.prediction import predict
from ml_pipeline.release.rollout import Ready
from ml_pipeline.release.state import Serving, State, is_autoscaled


def release(cluster: Cluster, new: Release, *, force: bool = False) -> ReleaseRecord:
    """Bring `new` to all pods, or leave what served before; return the release record."""
    if not new.digest:
        cause = f"image {new.image!r} has no digest"
        raise StageFailure(cause, "pass NAME@sha256:…, as publish returns it")
    if record := _unchanged(cluster, new, state.read(cluster, new.name)):
        return record
    with Lock(cluster, new.name, new.by, new.timeout_s) as lock:
        now = state.read(cluster, new.name)
        notes = _found(lock, now)
        if record := _unchanged(cluster, new, now):
            return dataclasses.replace(record, notes=tuple(notes))
        _refuse_marked(now.ledger, new.digest, force=force)
        if (unfinished := _unfinished(new, now)) is not None:
            lock.intend({"action": "release", "image": new.image})
            watched = _watch_again(cluster, new, now, unfinished, notes)
            if _is_placed(new, now):
                return watched
            # First watched, then moved: else a release that nobody judged would be compared with itself.
            now, notes = state.read(cluster, new.name), list(watched.notes)
            command_line.fail_on_signals()
        serving = state.what_serves(now, lambda pods: change.gives_prediction(cluster, new, pods))
        known = now.ledger
        if serving and not serving.is_recorded and serving.image != new.image:
            known = _adopted(known, serving)
        action = "created" if serving is None else "updated"
        lock.intend({"action": "release", "image": new.image})
        return change.Change(cluster, new, now, serving, known, action=action, notes=notes).run()


def _unfinished(new: Release, now: State) -> OpenWatch | None:
    """Return the watch of a release that is live, if a killed call left it unfinished."""
    deployment = now.live_deployment
    if not new.watch_s or deployment is None or rollout.image_of(deployment) != new.image:
        return None
    return open_watch.find(now.ledger, new.image)


def _is_placed(new: Release, now: State) -> bool:
    """Tell whether what serves is where the strategy puts it."""
    return (new.strategy == "rolling") == (now.live == new.name)


def _watch_again(
    cluster: Cluster, new: Release, now: State, unfinished: OpenWatch, notes: list[str]
) -> ReleaseRecord:
    note = (
        f"the watch of revision {unfinished.entry.revision} did not end, because its call was killed; "
        f"it is watched again, for {new.watch_s} s"
    )
    print(f"deploy: {note}", flush=True)
    before = unfinished.serving(now)
    notes = [*notes, note]
    resumed = change.Change(
        cluster, new, now, before, unfinished.ledger, action="watched", notes=notes, resumed=unfinished
    )
    return resumed.run()


def rollback(cluster: Cluster, settings: Release, to: str = "", *, force: bool = False) -> ReleaseRecord:
    """Go to the release `to`, or to the good one before the live one, with as many pods as run now."""
    where = f"{settings.name} in namespace {settings.namespace}"
    nothing = StageFailure(f"there is no release of {where} to roll back", "release an image first")
    if state.read(cluster, settings.name).live_deployment is None:
        raise nothing
    with Lock(cluster, settings.name, settings.by, settings.timeout_s) as lock:
        now = state.read(cluster, settings.name)
        notes = _found(lock, now)
        deployment = now.live_deployment
        if deployment is None:
            raise nothing
        serving = state.what_serves(now, lambda pods: change.gives_prediction(cluster, settings, pods))
        known = _adopted(now.ledger, serving) if serving and not serving.is_recorded else now.ledger
        left = lock.left.call if lock.left else {}
        again = left.get("action") == "rollback" and left.get("to") == to
        entry = ledger.named(known, left.get("revision", "")) if again else None
        if entry is None:
            entry = _target(known, to, rollout.image_of(deployment), where)
            if to:
                _refuse_marked(known, entry.digest, force=force)
        current = ledger.serving(now.ledger)
        if (
            entry.image == rollout.image_of(deployment)
            and current
            and current.image == entry.image
            and not again
        ):
            cause = f"what serves is already {entry.digest} (revision {current.revision})"
            raise StageFailure(cause, "pass --to with another revision of the history")
        target = dataclasses.replace(
            settings,
            image=entry.image,
            version=entry.version,
            commit=entry.commit,
            verdict=entry.verdict,
            memory_mb=entry.memory_mb or settings.memory_mb,
            replicas=integer(deployment, "spec", "replicas") or settings.replicas,
        )
        lock.intend({"action": "rollback", "to": to, "revision": str(entry.revision)})
        template = _template(now, entry)
        return change.Change(cluster, target, now, serving, known, template, "rolled-back", notes).run()


def retire(cluster: Cluster, settings: Release) -> None:
    """Wait until the pods that served before have been kept for `keep_s`, and end them.

    A signal ends the waiting only: the next call ends the pods.
    """
    try:
        while (seconds := _kept(state.read(cluster, settings.name), settings.keep_s)) is not None:
            if seconds <= 0:
                with Lock(cluster, settings.name, settings.by, settings.timeout_s):
                    now = state.read(cluster, settings.name)
                    if (_kept(now, settings.keep_s) or 0) <= 0:
                        for name in _idle(now):
                            steps.scale(cluster, name, 0)
                return
            print(f"deploy: the pods that served before end in {seconds:.0f} s (deploy.keep)", flush=True)
            _sleep(cluster, settings, seconds)
    except Interrupted:
        print("deploy: interrupted; the next call ends the pods that served before", flush=True)
    except StageFailure as failure:
        print(f"deploy: the pods that served before still run: {failure.cause}", flush=True)


def _sleep(cluster: Cluster, settings: Release, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (rest := end - time.monotonic()) > 0:
        time.sleep(min(rest, 10.0))
        if not _idle(state.read(cluster, settings.name)):
            return


def _idle(now: State) -> list[str]:
    """Return the Deployments that have pods without traffic; none where nothing is live."""
    return [
        name
        for name, deployment in now.deployments.items()
        if now.live_deployment is not None
        and name != now.live
        and integer(deployment, "spec", "replicas") > 0
    ]


def _kept(now: State, keep_s: float) -> float | None:
    """Return for how many more seconds pods without traffic are kept; None if there are none."""
    if not _idle(now):
        return None
    entry = ledger.serving(now.ledger)
    return entry.started + keep_s - time.time() if entry else 0


def _unchanged(cluster: Cluster, new: Release, now: State) -> ReleaseRecord | None:
    """Return the record where the release is live, complete and recorded, so that nothing is to do."""
    deployment, entry = now.live_deployment, ledger.serving(now.ledger)
    if (
        deployment is None
        or entry is None
        or entry.image != new.image
        or rollout.image_of(deployment) != new.image
    ):
        return None
    if _unfinished(new, now) is not None:
        return None
    replicas = integer(deployment, "spec", "replicas")
    judged = now.judge(deployment)
    is_resized = replicas != new.replicas and not is_autoscaled(deployment)
    if not isinstance(judged, Ready) or is_resized or not _is_placed(new, now):
        return None
    if rollout.template_of(steps.apply(cluster, new, now.live, dry_run=True)) != rollout.template_of(
        deployment
    ):
        return None
    try:
        prediction: Object = predict(cluster, new, judged.pods[0])
    except Unreachable:
        raise
    except StageFailure as failure:
        cause = f"{failure.cause}; nothing was changed, for this is the release that served before"
        raise StageFailure(cause, f"{failure.hint}, or roll back") from None
    return change.record(new, "unchanged", entry, now.live, judged, prediction)


def _refuse_marked(known: Ledger, digest: str, *, force: bool) -> None:
    marked = ledger.mark(known, digest)
    if marked and not force:
        why = f": {marked.why}" if marked.why else ""
        cause = f"{digest} was taken back as revision {marked.revision}{why}"
        raise StageFailure(cause, "release another image, or pass --force")


def _target(known: Ledger, to: str, live: str, where: str) -> Entry:
    if not to:
        entry = ledger.before(known, live)
        if entry is None:
            cause = "there is no good release before this one to roll back to"
            raise StageFailure(cause, "release another image")
        return entry
    entry = ledger.named(known, to)
    if entry is None:
        revisions = ", ".join(str(each.revision) for each in reversed(known))
        cause = f"the history of {where} has no release {to!r}"
        raise StageFailure(cause, f"pass --to with a revision of it: {revisions}")
    if entry.outcome == ledger.FAILED:
        cause = f"revision {entry.revision} failed before it served"
        raise StageFailure(cause, "pass --to with another revision of the history")
    return entry


def _adopted(known: Ledger, serving: Serving) -> Ledger:
    """Return the ledger with what was found serving: a call was killed, or a person changed it by hand."""
    went_back = any(entry.image == serving.image for entry in known)
    found = Entry(
        ledger.next_revision(known),
        serving.image,
        version=serving.version,
        deployment=serving.deployment,
        started=round(time.time(), 3),
        why="found serving: it was changed by hand, or its call was killed",
    )
    return ledger.with_served(known, found, ROLLED_BACK if went_back else REPLACED)


def _template(now: State, entry: Entry) -> Object | None:
    """Return the pod template of a release as it ran, None if no ReplicaSet has it any more."""
    ran = sorted(now.replicasets, key=rollout.revision, reverse=True)
    found = next((each for each in ran if rollout.image_of(each) == entry.image), None)
    return rollout.template_of(found) if found else None


def _found(lock: Lock, now: State) -> list[str]:
    """Say what a killed call left, as the first line of this one."""
    left = lock.left
    if not left:
        return []
    image = left.call.get("image") or left.call.get("revision", "")
    doing = f"a {left.call['action']} of {image}" if left.call else "a call that had changed nothing yet"
    states = [
        f"{name} ({'live' if name == now.live else 'no traffic'}) has {rollout.image_of(deployment)}, "
        f"{integer(deployment, 'status', 'readyReplicas')} of {integer(deployment, 'spec', 'replicas')} "
        "pods ready"
        for name, deployment in now.deployments.items()
    ]
    found = f"found {doing} that ended half-way ({left.holder}, since {left.since[:19]}Z)"
    note = f"{found}: {'; '.join(states) or 'no Deployment'}"
    print(f"deploy: {note}", flush=True)
    return [note]
