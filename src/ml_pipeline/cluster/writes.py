"""Writes that can be made twice, and that leave alone what others set.

A write is an attempt: it reads, compares, and sends what is missing with the `resourceVersion` that it read.
So an attempt whose answer was lost is simply made again: it then finds its own work done.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TypeVar

from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.errors import Conflict, Refused, Unreachable
from ml_pipeline.cluster.fields import Json, Object
from ml_pipeline.cluster.objects import MANAGER

T = TypeVar("T")

BLIND_S = 30  # an API server that restarts is waited for this long
PAUSE_S = 0.3
_blind_s: ContextVar[float] = ContextVar("blind_s", default=BLIND_S)


def blind_s() -> float:
    """Return for how many seconds an API server that is away is waited for now."""
    return _blind_s.get()


@contextlib.contextmanager
def patient(seconds: float) -> Iterator[None]:
    """Wait longer for an API server in this block: what it does must not stay half done."""
    token = _blind_s.set(seconds)
    try:
        yield
    finally:
        _blind_s.reset(token)


def persistently(attempt: Callable[[], T]) -> T:
    """Return what the attempt returns; make it again after a conflict, or while the API server is away.

    Raises Unreachable after `blind_s()`: then nobody knows whether the last write was carried out.
    """
    deadline = time.monotonic() + blind_s()
    while True:
        try:
            return attempt()
        except Refused as refused:
            if refused.code != 409 or refused.conflicts or time.monotonic() > deadline:
                raise
        except Unreachable:
            if time.monotonic() > deadline:
                raise
        time.sleep(PAUSE_S)


def apply_own(
    cluster: Cluster, kind: str, manifest: Object, is_own: Callable[[str], bool], *, dry_run: bool = False
) -> Object:
    """Apply a manifest; fields that another manager set stay as they are, but for those that `is_own` names.

    `is_own` gets a path as the API server writes it: `.spec.template.spec.containers[name="model"].image`.
    """
    try:
        return cluster.apply(kind, manifest, dry_run=dry_run)
    except Refused as refused:
        if not refused.conflicts:
            raise
        theirs = [each for each in refused.conflicts if each.manager != MANAGER and not is_own(each.field)]
        if not dry_run:
            _say(theirs)
        for each in theirs:
            manifest = without(manifest, each.field)
        return cluster.apply(kind, manifest, force=True, dry_run=dry_run)


def _say(kept: Sequence[Conflict]) -> None:
    for each in kept:
        print(f"deploy: {each.field} stays as {each.manager} set it", flush=True)


def without(manifest: Object, path: str) -> Object:
    """Return the manifest without the field at a path; unchanged if it has no such field."""
    return _without_key(manifest, path)


def _without_key(table: Object, path: str) -> Object:
    for key, value in table.items():
        start = f".{key}"
        rest = path[len(start) :]
        if path == start:
            return {other: each for other, each in table.items() if other != key}
        if path.startswith(start) and rest[0] in ".[":
            return {**table, key: _inside(value, rest)}
    return table


def _inside(value: Json, path: str) -> Json:
    if isinstance(value, Mapping):
        return _without_key(value, path)
    if isinstance(value, list | tuple) and path.startswith("[") and "]" in path:
        selected, _, rest = path[1:].partition("]")
        return [_without_key(each, rest) if _is(each, selected) and rest else each for each in value]
    return value


def _is(member: Json, selected: str) -> bool:
    """Tell whether a list's member has the keys of `name="model",protocol="TCP"`."""
    pairs = [pair.partition("=") for pair in selected.split(",")]
    return isinstance(member, Mapping) and all(
        str(member.get(key)) == value.strip('"') for key, _, value in pairs
    )
