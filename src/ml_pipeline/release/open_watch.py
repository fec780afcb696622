"""A watch that did not end, for its call was killed: what it compared with, and what it goes back to; pure.

While a release is watched, its entry in the ledger has what the release before it counted. The call removes
that when the watch ends. So the next release of the same image finds it, and watches again.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from ml_pipeline.cluster.fields import Object, integer
from ml_pipeline.release import ledger, rollout, state
from ml_pipeline.release.ledger import REPLACED, SERVING, Entry, Ledger
from ml_pipeline.release.state import Serving, State
from ml_pipeline.release.traffic import NOTHING, Counters

MOST_CLASSES = 200  # that the ledger keeps: it is an annotation, which has a limit


@dataclass(frozen=True)
class OpenWatch:
    """The release that serves, the one before it, and the ledger as if that one served still."""

    entry: Entry
    previous: Entry
    ledger: Ledger

    @property
    def reference(self) -> Counters:
        """What the release before counted."""
        kept = self.entry.watch or {}
        codes, buckets = kept.get("codes"), kept.get("buckets")
        return Counters(
            None if codes is None else {int(code): number for code, number in codes.items()},
            None if buckets is None else {float(bound): number for bound, number in buckets.items()},
            kept.get("classes"),
        )

    def serving(self, now: State) -> Serving:
        """Return the release before, as what serves and as what an undo goes back to."""
        image = self.previous.image
        name = self.previous.deployment or now.live
        ran = next((each for each in _newest(now) if rollout.image_of(each) == image), None)
        runs = ran is not None and name != now.live
        pods = state.ready(rollout.pods_of(ran, now.pods)) if ran and runs else ()
        replicas = integer(now.live_deployment or {}, "spec", "replicas")
        template = rollout.template_of(ran) if ran else None
        return Serving(name, image, self.previous.version, replicas, template, pods)


def find(releases: Ledger, image: str) -> OpenWatch | None:
    """Return the watch of `image` if it serves and its watch has not ended."""
    entry = ledger.serving(releases)
    if entry is None or entry.image != image or entry.watch is None:
        return None
    previous = next(
        (each for each in releases if each.outcome == REPLACED and each.ended == entry.started), None
    )
    if previous is None:
        return None
    serves = dataclasses.replace(previous, outcome=SERVING, ended=0)
    before = tuple(serves if each is previous else each for each in releases if each is not entry)
    return OpenWatch(entry, serves, before)


def kept(counters: Counters = NOTHING) -> Mapping[str, Mapping[str, float]]:
    """Return counters as an entry of the ledger has them."""
    tables: dict[str, Mapping[str, float]] = {}
    if counters.codes is not None:
        tables["codes"] = {str(code): number for code, number in counters.codes.items()}
    if counters.buckets is not None:
        tables["buckets"] = {str(bound): number for bound, number in counters.buckets.items()}
    if counters.classes is not None and len(counters.classes) <= MOST_CLASSES:
        tables["classes"] = dict(counters.classes)
    return tables


def _newest(now: State) -> list[Object]:
    return sorted(now.replicasets, key=rollout.revision, reverse=True)
