"""The ledger: the last releases of a Service and how each ended; decisions over plain values, pure.

It is an annotation of the Service, so the write that moves the traffic records it too. Where there is no
ledger, what an older version of this module wrote is read: an annotation of the Deployment.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ml_pipeline.cluster.fields import Object, annotations_of, name_of, text
from ml_pipeline.common.reading import read
from ml_pipeline.release import rollout

T = TypeVar("T")

LEDGER = "ml-pipeline/releases"
OLD_LEDGER = (
    "ml-pipeline/good-releases"  # of the Deployment: image and version of good ReplicaSets, newest first
)
REMEMBERED = 20

SERVING, REPLACED, ROLLED_BACK, TAKEN_BACK, FAILED = (
    "serving",
    "replaced",
    "rolled-back",
    "taken-back",
    "failed",
)
MARKED = {ROLLED_BACK, TAKEN_BACK}


@dataclass(frozen=True)
class Entry:
    """One release. Times are seconds since the epoch, 0 if they are not known.

    `outcome` is serving, replaced by the next release, rolled-back by a person, taken-back by the watch, or
    failed before it served. `why` is the reason of the last two. `watch` is there until its watch has ended.
    """

    revision: int
    image: str
    outcome: str = SERVING
    version: str | None = None
    commit: str | None = None
    verdict: str | None = None
    by: str = ""
    strategy: str = ""
    deployment: str = ""
    started: float = 0
    ended: float = 0
    replicas: int = 0
    memory_mb: int = 0
    why: str = ""
    watch: Mapping[str, Mapping[str, float]] | None = None  # what the release before counted (open_watch.py)

    @property
    def digest(self) -> str:
        """`sha256:…` of the image."""
        return rollout.digest(self.image)

    @property
    def is_good(self) -> bool:
        """Whether it served, and was not taken back."""
        return self.outcome in {SERVING, REPLACED}


Ledger = tuple[Entry, ...]  # oldest first


@dataclass(frozen=True)
class _OldRelease:
    replicaset: str = ""
    image: str = ""
    version: str | None = None
    replicas: int = 0


def read_ledger(
    service: Object | None, deployment: Object | None = None, replicasets: Sequence[Object] = ()
) -> Ledger:
    """Return the ledger of a Service; without one, what an older version left on the Deployment.

    It is empty where neither can be read.
    """
    kept = _entries(tuple[Entry, ...], service, LEDGER)
    if kept is not None:
        return kept
    old = _entries(tuple[_OldRelease, ...], deployment, OLD_LEDGER) or ()
    revisions = {name_of(each): rollout.revision(each) for each in replicasets}
    entries = [
        Entry(
            revisions.get(each.replicaset, 0),
            each.image,
            REPLACED,
            each.version,
            strategy="rolling",
            deployment=each.replicaset.rpartition("-")[0],
            replicas=each.replicas,
        )
        for each in reversed(old)
        if rollout.digest(each.image)
    ]
    for number, entry in enumerate(entries):
        if not entry.revision:
            entries[number] = dataclasses.replace(entry, revision=number + 1)
    return (*entries[:-1], dataclasses.replace(entries[-1], outcome=SERVING)) if entries else ()


def annotation(ledger: Ledger) -> dict[str, str]:
    """Return the annotation that `read_ledger` reads; values that are as by default are left out."""
    defaults = {field.name: field.default for field in dataclasses.fields(Entry)}
    rows = [
        {key: value for key, value in dataclasses.asdict(entry).items() if value != defaults[key]}
        for entry in ledger
    ]
    return {LEDGER: json.dumps(rows, separators=(",", ":"))}


def serving(ledger: Ledger) -> Entry | None:
    """Return the release that serves, as far as the ledger knows."""
    return next((entry for entry in reversed(ledger) if entry.outcome == SERVING), None)


def next_revision(ledger: Ledger) -> int:
    """Return the number of the next release."""
    return max((entry.revision for entry in ledger), default=0) + 1


def with_served(ledger: Ledger, new: Entry, outcome: str = REPLACED, why: str = "") -> Ledger:
    """Return the ledger with `new` serving; the one that served until then ended with `outcome`."""
    return _shortened((*_ended(ledger, outcome, new.started, why), new))


def with_ended(ledger: Ledger, ended: Entry) -> Ledger:
    """Return the ledger with a release that ended; the one that served before it serves on."""
    return _shortened((*ledger, ended))


def mark(ledger: Ledger, digest: str) -> Entry | None:
    """Return the entry for which a digest was taken back, unless it has served well since then."""
    ends = [entry for entry in ledger if entry.digest == digest and entry.outcome != FAILED]
    return ends[-1] if ends and ends[-1].outcome in MARKED else None


def good(ledger: Ledger) -> Ledger:
    """Return the releases that a rollback may go to, newest first, each digest once."""
    kept: dict[str, Entry] = {}
    for entry in reversed(ledger):
        if entry.is_good and entry.digest not in kept and not mark(ledger, entry.digest):
            kept[entry.digest] = entry
    return tuple(kept.values())


def before(ledger: Ledger, live: str) -> Entry | None:
    """Return the good release before the one that serves, whose image is `live`.

    If what serves was never good, as after a killed call, that is the last good one.
    """
    candidates = good(ledger)
    for position, entry in enumerate(candidates):
        if entry.image == live:
            return candidates[position + 1] if position + 1 < len(candidates) else None
    return candidates[0] if candidates else None


def named(ledger: Ledger, to: str) -> Entry | None:
    """Return the release that `to` names: a revision, a digest, or 12 digits or more of one."""
    if re.fullmatch(r"[0-9]{1,9}", to):
        return next((entry for entry in ledger if entry.revision == int(to)), None)
    digest = to.rpartition("@")[2].removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{12,64}", digest):
        return None
    matches = [entry for entry in ledger if entry.digest.removeprefix("sha256:").startswith(digest)]
    matches = [entry for entry in matches if entry.outcome != FAILED] or matches
    return matches[-1] if matches else None


def _entries(kind: type[T], thing: Object | None, key: str) -> T | None:
    """Return what an annotation holds, None if it is absent or can't be read."""
    try:
        return read(kind, json.loads(text(annotations_of(thing or {}), key)), ignore_unknown=True)
    except ValueError:
        return None


def _ended(ledger: Ledger, outcome: str, now: float, why: str) -> Ledger:
    return tuple(
        dataclasses.replace(entry, outcome=outcome, ended=now, why=why, watch=None)
        if entry.outcome == SERVING
        else entry
        for entry in ledger
    )


def _shortened(ledger: Ledger) -> Ledger:
    """Return the last entries; those that failed are forgotten first, so they never push out a good one."""
    entries = list(ledger)
    while len(entries) > REMEMBERED:
        oldest = next((entry for entry in entries if not entry.is_good), entries[0])
        entries.remove(oldest)
    return tuple(entries)
