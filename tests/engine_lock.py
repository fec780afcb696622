"""Who may use the lab's engine now: many tests at once, or the one module that starts the engine again."""

import contextlib
import fcntl
import threading
from collections.abc import Iterator

from lab import paths

_held = threading.Event()  # by this worker


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """Let the engine run until this ends. Inside itself, or inside `alone`, it does nothing."""
    with _holding(fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other worker uses the engine, and keep them waiting; this one's calls go on."""
    with _holding(fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def _holding(kind: int) -> Iterator[None]:
    if _held.is_set():
        yield
        return
    paths.STATE.mkdir(parents=True, exist_ok=True)
    with (paths.STATE / "tests.lock").open("a") as file:
        # Whoever waits to be alone closes this door, or the others would never leave at the same time.
        with (paths.STATE / "tests.door").open("a") as door:
            fcntl.flock(door, kind)
            fcntl.flock(file, kind)
        _held.set()
        try:
            yield
        finally:
            _held.clear()
