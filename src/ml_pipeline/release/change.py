"""One change of what serves, under the lock: bring pods up, move the traffic, and go back if that fails."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ml_pipeline.cluster import command_line
from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.errors import Refused, Unreachable
from ml_pipeline.cluster.fields import Object, at, integer, text
from ml_pipeline.cluster.writes import patient
from ml_pipeline.common.document import ReleaseRecord
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.release import capacity, ledger, open_watch, rollout, steps
from ml_pipeline.release import state as states
from ml_pipeline.release.ledger import FAILED, REPLACED, ROLLED_BACK, SERVING, TAKEN_BACK, Entry, Ledger
from ml_pipeline.release.manifests import Release
from ml_pipeline.release.open_watch import OpenWatch
from ml_pipeline.release.prediction import predict
from ml_pipeline.release.rollout import Ready
from ml_pipeline.release.state import Serving, State
from ml_pipeline.release.traffic import Reader
from ml_pipeline.release.watch import TakenBack, Watched, WatchOutcome, stays, watch

UNDO_S = 60  # the least: a short timeout of the release must not cut its undo short
AWAY_S = 120  # for which an undo waits for the API server


@dataclass
class Change:
    """What one call changes. `template` is an older release's own, None for a new one.

    With `resumed` nothing new is released: what serves is watched again, and `serving` is the one before it.
    """

    cluster: Cluster
    release: Release
    state: State
    serving: Serving | None
    ledger: Ledger
    template: Object | None = None
    action: str = ""
    notes: list[str] = field(default_factory=list)
    resumed: OpenWatch | None = None
    target: str = ""
    _applied: Object | None = None
    _moved: bool = False
    _entry: Entry | None = None
    _served: Ledger = ()
    _watched: WatchOutcome | None = None

    def __post_init__(self) -> None:
        place = states.place(self.state, self.release.strategy, self.release.image)
        self.target = self.state.live if self.resumed else place

    @property
    def _is_beside(self) -> bool:
        return self.target != (self.serving.deployment if self.serving else self.target)

    @property
    def _up(self) -> Release:
        """The release as it comes up: beside the live pods it has as many as they are."""
        live = self.serving.replicas if self.serving and self._is_beside else 0
        return dataclasses.replace(self.release, replicas=max(self.release.replicas, live))

    @property
    def _before(self) -> Object | None:
        """The Deployment of the target, as this call found it."""
        return self.state.deployments.get(self.target)

    def run(self) -> ReleaseRecord:
        """Do it, or undo it. Raises StageFailure."""
        self._check()
        try:
            before = self._reader()
            self._applied = steps.apply(self.cluster, self._up, self.target, self.template)
            watched = self._watched_by(before) if before and not self._is_beside else None
            early = watched.early if watched else None
            ready, prediction = steps.settle(self.cluster, self.release, self._applied, early)
            if before and self._is_beside:
                before.look()
                watched = self._watched_by(before)
            self._serve(before)
            if watched:
                self._watch(watched, ready)
        except steps.Overruled:
            raise
        except StageFailure as failure:
            command_line.ignore_signals()
            if self._applied is None and isinstance(failure, Refused):
                raise
            raise self._undo(failure) from None
        command_line.ignore_signals()
        self._end_watch()
        self._resize()
        return self._record(ready, prediction)

    def _check(self) -> None:
        """Refuse what can't go well, before anything starts."""
        for deployment in (self.state.live_deployment, self._before):
            if deployment is not None and at(deployment, "spec", "paused") is True:
                name = text(deployment, "metadata", "name")
                cause = f"the rollout of Deployment {name} is paused"
                raise StageFailure(cause, f"kubectl rollout resume deployment/{name}")
        more = self._up.replicas - (integer(self._before, "spec", "replicas") if self._before else 0)
        if self._is_beside and more > 0:
            capacity.check(self.cluster, self.release, more)

    def _serve(self, before: Reader | None) -> None:
        """Move the traffic, and record it; a release that already serves and is recorded stays as it is."""
        if self.resumed:
            self._entry, self._served = self.resumed.entry, self.state.ledger
            return
        current = ledger.serving(self.ledger)
        unchanged = current is not None and current.image == self.release.image
        if unchanged and self.state.live == self.target and current in self.state.ledger:
            self._entry, self._served = current, self.ledger
            return
        watched = open_watch.kept(before.reference()) if before else None
        new = dataclasses.replace(self._new_entry(), watch=watched)
        outcome = ROLLED_BACK if self.action == "rolled-back" else REPLACED
        self._moved, self._entry = True, new
        self._served = ledger.with_served(self.ledger, new, outcome)
        steps.serve(self.cluster, self.release, self.target, self._served)

    def _reader(self) -> Reader | None:
        """Read what the old pods counted; None if the release is not watched.

        A first release has nothing to compare with, and a rollback goes to what served well.
        """
        if not self.release.watch_s or self.serving is None or self.action == "rolled-back":
            return None
        reader = Reader(self.cluster, self.serving.pods)
        reader.look()
        return reader

    def _watched_by(self, before: Reader) -> Watched:
        stable = self.resumed.reference if self.resumed else before.reference()
        return Watched(self.cluster, self.release, stable, before.pods if self._is_beside else ())

    def _watch(self, watched: Watched, ready: Ready) -> None:
        """Raise StageFailure if the release may not stay."""
        self._watched = outcome = watch(watched, self.release, ready.pods)
        if note := stays(outcome, self.release.insufficient):
            self.notes.append(note)

    def _end_watch(self) -> None:
        """Record that the watch has ended: else the next call would watch again."""
        entry = self._entry
        if self._watched is None or entry is None or entry.watch is None:
            return
        ended = dataclasses.replace(entry, watch=None)
        served = tuple(ended if each == entry else each for each in self._served)
        try:
            steps.serve(self.cluster, self.release, self.target, served)
        except StageFailure as failure:
            self.notes.append(f"the next release of this image will be watched again: {failure.cause}")

    def _new_entry(self) -> Entry:
        release = self.release
        return Entry(
            ledger.next_revision(self.ledger),
            release.image,
            SERVING,
            release.version,
            release.commit,
            release.verdict,
            release.by,
            release.strategy,
            self.target,
            round(time.time(), 3),
            replicas=release.replicas,
            memory_mb=release.memory_mb,
        )

    def _resize(self) -> None:
        """Give the Deployment the number of pods that is configured, unless an autoscaler decides."""
        live = self.state.live_deployment
        if self.action != "rolled-back" and not (live and states.is_autoscaled(live)):
            try:
                steps.scale(self.cluster, self.target, self.release.replicas)
            except StageFailure as failure:
                self.notes.append(f"the number of pods stays as it was: {failure.cause}")

    def _undo(self, failure: StageFailure) -> StageFailure:
        """Go back to what served before this call; return what to raise."""
        print(f"deploy: {failure.cause}; undoing", flush=True)
        release = self.release
        details = {"action": "undone", "name": release.name, "namespace": release.namespace}
        details["image"] = release.image
        try:
            with patient(AWAY_S):
                if self.resumed and self.serving and self._is_beside:  # its pods may have ended since then
                    self._bring_up(self.serving)
                self._take_back(failure.cause, TAKEN_BACK if isinstance(failure, TakenBack) else FAILED)
                self._put_back()
        except StageFailure as second:
            details["action"] = "broken"
            cause = f"{failure.cause}; the undo failed too: {second.cause}"
            if isinstance(second, Unreachable):
                cause += ", so what serves now is not known"
            return StageFailure(cause, "make the same call again when the cluster works", details)
        if self.serving is None:
            outcome = "the release was undone, and nothing is serving, because nothing served before it"
        elif self._is_same():
            outcome = "nothing was changed, for this is the release that served before"
            return StageFailure(f"{failure.cause}; {outcome}", f"{failure.hint}, or roll back", details)
        else:
            details["serving"] = self.serving.image
            shown = rollout.digest(self.serving.image) or self.serving.image
            outcome = f"the release was undone, and the last good one ({shown}) is serving"
        return StageFailure(f"{failure.cause}; {outcome}", failure.hint, details)

    def _is_same(self) -> bool:
        """Tell whether this call applied what served before."""
        serving = self.serving
        if serving is None or serving.template is None or self._is_beside or self._applied is None:
            return False
        return bool(serving.pods or serving.is_recorded) and serving.template == rollout.template_of(
            self._applied
        )

    def _take_back(self, why: str, outcome: str) -> None:
        """Send the traffic where it was, and record how the release ended."""
        if self.serving is None:
            if self.state.service is None and self._moved:
                steps.delete(self.cluster, "services", self.release.name)
        elif not self._is_same():
            entry = self._entry or self._new_entry()
            failed = dataclasses.replace(entry, outcome=outcome, ended=time.time(), why=why[:200], watch=None)
            back = ledger.with_ended(self.ledger, failed)
            steps.serve(self.cluster, self.release, self.serving.deployment, back)

    def _put_back(self) -> None:
        serving, before = self.serving, self._before
        if serving is not None and not self._is_beside:
            self._bring_up(serving)
        elif self.resumed:
            steps.scale(self.cluster, self.target, 0)
        elif before is not None:
            steps.restore(self.cluster, self.release, before)
        else:
            steps.delete(self.cluster, "deployments", self.target)

    def _bring_up(self, serving: Serving) -> None:
        """Bring what served before back to all its pods."""
        old = dataclasses.replace(
            self.release, image=serving.image, version=serving.version, replicas=serving.replicas
        )
        applied = steps.apply(self.cluster, old, serving.deployment, serving.template)
        unhurried = dataclasses.replace(old, timeout_s=max(UNDO_S, self.release.timeout_s))
        if not self._is_same():
            steps.wait_ready(self.cluster, unhurried, applied)
            steps.scale(self.cluster, serving.deployment, serving.replicas)

    def _record(self, ready: Ready, prediction: Object) -> ReleaseRecord:
        done = record(self.release, self.action, self._entry, self.target, ready, prediction)
        return dataclasses.replace(
            done,
            previous_image=self.serving.image if self.serving else None,
            notes=tuple(self.notes),
            watch=dataclasses.asdict(self._watched) if self._watched else {},
        )


def record(
    release: Release, action: str, entry: Entry | None, deployment: str, ready: Ready, prediction: Object
) -> ReleaseRecord:
    """Return the record of a release whose pods are `ready`; `entry` is the ledger's."""
    return ReleaseRecord(
        action=action,
        name=release.name,
        namespace=release.namespace,
        revision=entry.revision if entry else None,
        image=release.image,
        digest=release.digest,
        previous_image=release.image,
        version=release.version,
        replicas=release.replicas,
        ready=len(ready.pods),
        prediction=prediction,
        strategy=release.strategy,
        deployment=deployment,
    )


def gives_prediction(cluster: Cluster, settings: Release, pods: Sequence[str]) -> bool:
    """Tell whether a pod gives a prediction, whatever its model's version."""
    try:
        predict(cluster, dataclasses.replace(settings, version=None), pods[0])
    except StageFailure:
        return False
    return True
