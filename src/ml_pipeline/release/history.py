"""Which releases of a Deployment were good, and where a rollback goes; decisions over plain objects, pure.

A Deployment remembers in an annotation which of its ReplicaSets were good, that is, gave a
real prediction. Only those are ever gone back to, so a release that was killed half-way
is never mistaken for the one before it.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

from ml_pipeline.cluster.fields import Object, annotations_of, name_of, table, text
from ml_pipeline.common.reading import read
from ml_pipeline.release.rollout import live_replicaset

GOOD = "ml-pipeline/good-releases"
HASH = "pod-template-hash"  # the controller's own label: no part of the template
REMEMBERED = 10


@dataclass(frozen=True)
class GoodRelease:
    """A release that was complete and gave a prediction."""

    replicaset: str
    image: str
    version: str | None
    replicas: int
    timeout_s: int


def history(deployment: Object | None) -> tuple[GoodRelease, ...]:
    """Return the good releases, newest first; empty where the annotation is absent or can't be read."""
    if deployment is None:
        return ()
    try:
        entries = json.loads(text(annotations_of(deployment), GOOD) or "[]")
        return read(tuple[GoodRelease, ...], entries, ignore_unknown=True)
    except ValueError:
        return ()


def annotation(good: Sequence[GoodRelease]) -> dict[str, str]:
    """Return the annotation that `history` reads."""
    return {GOOD: json.dumps([dataclasses.asdict(entry) for entry in good])}


def remember(good: Sequence[GoodRelease], newest: GoodRelease) -> tuple[GoodRelease, ...]:
    """Return the history with `newest` at its head, each ReplicaSet in it once."""
    others = [entry for entry in good if entry.replicaset != newest.replicaset]
    return (newest, *others)[:REMEMBERED]


def rollback_history(deployment: Object, replicasets: Sequence[Object]) -> tuple[GoodRelease, ...]:
    """Return the history from the release on that a rollback goes to; empty where there is none.

    That is the good release before the live one; where the live one was never good (a kill
    half-way), the last good one. A rollback forgets what it leaves: the next goes further back.
    """
    good = kept(history(deployment), replicasets)
    live = live_replicaset(deployment, replicasets)
    for position, entry in enumerate(good):
        if live and entry.replicaset == name_of(live):
            return good[position + 1 :]
    return good


def kept(good: Sequence[GoodRelease], replicasets: Sequence[Object]) -> tuple[GoodRelease, ...]:
    """Return those whose ReplicaSet still exists: Kubernetes keeps only so many."""
    names = {name_of(replicaset) for replicaset in replicasets}
    return tuple(entry for entry in good if entry.replicaset in names)


def template(entry: GoodRelease, replicasets: Sequence[Object]) -> Object:
    """Return the pod template of a good release, as it ran. Raises StopIteration without its ReplicaSet."""
    replicaset = next(each for each in replicasets if name_of(each) == entry.replicaset)
    ran = table(replicaset, "spec", "template")
    metadata = {key: value for key, value in table(ran, "metadata").items() if value is not None}
    labels = table(metadata, "labels")
    metadata["labels"] = {key: value for key, value in labels.items() if key != HASH}
    return {"metadata": metadata, "spec": table(ran, "spec")}
