"""The lock of a release: one call at a time changes what serves, and a killed call keeps nobody out for long.

It is a Lease. Clocks of different machines are never compared: a call that waits looks whether the holder
renews it, and takes it over when it has not changed for its own duration on this machine's clock.
"""

import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from ml_pipeline.cluster import objects
from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.errors import Refused, Unreachable
from ml_pipeline.cluster.fields import Json, Object, annotations_of, integer, text
from ml_pipeline.cluster.writes import BLIND_S, persistently
from ml_pipeline.common.outcome import StageFailure

LEASE_S = 8
POLL_S = 0.5
CALL = "ml-pipeline/call"


@dataclass(frozen=True)
class Left:
    """What a call that was killed left on the lock: who it was, since when, and what it was doing."""

    holder: str
    since: str
    call: Mapping[str, str]


class Lock:
    """The lock of one release, as a block: `with Lock(…) as lock`."""

    def __init__(self, cluster: Cluster, name: str, by: str, wait_s: float) -> None:
        """Prepare to take the lock of the release `name` for `by`, and to wait up to `wait_s` for it."""
        self.left: Left | None = None
        self.holder = f"{by or 'somebody'} on {socket.gethostname()} ({uuid.uuid4().hex[:8]})"
        self._cluster, self._name, self._wait_s = cluster, name, wait_s
        self._lease: Object = {}
        self._renewed = 0.0
        self._lost = ""
        self._writing = threading.RLock()
        self._over = threading.Event()
        self._renewer = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        """Take the lock. Raises StageFailure if another call holds it for too long."""
        self._take()
        self._renewer.start()
        self._cluster.guard = self.check
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Give the lock back; if that fails, it ends by itself."""
        self._over.set()
        self._cluster.guard = lambda: None
        with self._writing, contextlib.suppress(StageFailure):
            if not self._lost:
                persistently(self._free)

    def _free(self) -> None:
        lease = self._cluster.get("leases", self._lease_name)
        if lease is not None and text(lease, "spec", "holderIdentity") == self.holder:
            self._lease = lease
            self._write({"holderIdentity": None, "acquireTime": None, "renewTime": None}, {CALL: None})

    def intend(self, call: Mapping[str, str]) -> None:
        """Write down what this call is about to do, for the next one if this one is killed."""
        persistently(lambda: self._renew({CALL: json.dumps(call)}))

    def check(self) -> None:
        """Raise StageFailure if the lock was lost. If it is late, it is renewed first."""
        if not self._lost and time.monotonic() - self._renewed > LEASE_S / 2:
            self._renew()
        if self._lost:
            cause = f"this call lost the lock of {self._name} to {self._lost}"
            raise StageFailure(cause, "look at the history, and make the call again if it is still wanted")

    def _take(self) -> None:
        started = seen_at = answered = time.monotonic()
        seen: tuple[str, str] | None = None
        waits_for = ""
        while True:
            try:
                lease = self._read()
                holder, renewed = text(lease, "spec", "holderIdentity"), text(lease, "spec", "renewTime")
                now = answered = time.monotonic()
                if (holder, renewed) != seen:
                    if holder not in {"", waits_for, self.holder}:
                        waits_for = holder
                        print(f"deploy: waits, because {_held(lease)}", flush=True)
                    seen, seen_at = (holder, renewed), now
                if holder == self.holder:  # the write was carried out, and its answer was lost
                    self._lease, self._renewed = lease, now
                    return
                if not holder or now - seen_at >= (integer(lease, "spec", "leaseDurationSeconds") or LEASE_S):
                    since = text(lease, "spec", "acquireTime")
                    self.left = Left(holder, since, _call(lease)) if holder else None
                    self._acquire(lease)
                    return
            except Unreachable:
                now = time.monotonic()
                if now - answered > BLIND_S:
                    raise
                seen = seen and ("", "")  # the holder could not renew it either
            except Refused as refused:
                now = time.monotonic()
                if refused.code not in {404, 409} or now - answered > BLIND_S:  # the namespace may be new
                    raise
            if now - started > self._wait_s:
                raise StageFailure(
                    _held(self._lease), "wait until that call has ended, then make this one again"
                )
            time.sleep(POLL_S)

    def _read(self) -> Object:
        """Return the Lease, made if there is none, in a namespace that is made if there is none."""
        lease = self._cluster.get("leases", self._lease_name)
        if lease is None:
            metadata: Object = {"name": self._lease_name, "namespace": self._cluster.namespace}
            manifest: Object = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {**metadata, "labels": objects.selector(self._name)},
                "spec": {"leaseDurationSeconds": LEASE_S},
            }
            try:
                lease = self._cluster.create("leases", manifest)
            except Refused as refused:
                if refused.code != 404:
                    raise
                self._cluster.create_namespace(objects.namespace(self._cluster.namespace))
                lease = self._cluster.create("leases", manifest)
        self._lease = lease
        return lease

    @property
    def _lease_name(self) -> str:
        return f"{self._name}-release"

    def _acquire(self, lease: Object) -> None:
        now = _now()
        holding = {"holderIdentity": self.holder, "acquireTime": now, "renewTime": now}
        self._lease = lease
        self._write(holding | {"leaseDurationSeconds": LEASE_S}, {CALL: None})

    def _write(self, spec: Mapping[str, Json], annotations: Mapping[str, Json] | None = None) -> None:
        metadata: dict[str, Json] = {"resourceVersion": text(self._lease, "metadata", "resourceVersion")}
        if annotations:
            metadata["annotations"] = annotations
        change: Object = {"metadata": metadata, "spec": spec}
        self._lease = self._cluster.patch("leases", self._lease_name, change)
        self._renewed = time.monotonic()

    def _renew(self, annotations: Mapping[str, Json] | None = None) -> None:
        """Renew the lock, or find out who has it now. Raises Unreachable."""
        with self._writing:
            for _ in range(2):
                try:
                    self._write({"renewTime": _now()}, annotations)
                    return
                except Refused:
                    # A write whose answer was lost is refused when it is repeated: it is ours all the same.
                    lease = self._cluster.get("leases", self._lease_name)
                    holder = text(lease, "spec", "holderIdentity")
                    if lease is None or holder != self.holder:
                        self._lost = holder or "nobody: its Lease was changed"
                        return
                    self._lease = lease

    def _keep(self) -> None:
        while not self._over.wait(LEASE_S / 4):
            try:
                with self._writing:
                    if self._lost or self._over.is_set():
                        return
                    self._renew()
            except StageFailure:
                continue  # tried again: an API server that is away keeps others from taking it too


def _held(lease: Object) -> str:
    since = text(lease, "spec", "acquireTime")[:19]
    doing = _call(lease).get("action", "")
    what = f" for a {doing}" if doing else ""
    return f"{text(lease, 'spec', 'holderIdentity')} holds the lock{what} since {since}Z"


def _call(lease: Object) -> Mapping[str, str]:
    try:
        call = json.loads(text(annotations_of(lease), CALL))
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in call.items()} if isinstance(call, dict) else {}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
