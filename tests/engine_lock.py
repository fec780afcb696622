"""Who may use the lab's engine now: many calls at once, or the one test that starts the engine again."""

import contextlib
import fcntl
import threading
from collections.abc import Iterator

from lab import paths

_alone = threading.Event()


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """Let the engine run until this call has ended."""
    if _alone.is_set():
        yield
        return
    with (paths.STATE / "tests.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other worker uses the engine, and keep them waiting; this one's calls go on."""
    with (paths.STATE / "tests.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _alone.set()
        try:
            yield
        finally:
            _alone.clear()
