"""Runs commands that build things, with one line on the screen and all output in a log."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lab.errors import LabError
from lab.paths import LOGS, TEMPORARY

HEARTBEAT_S = 30


def say(line: str) -> None:
    """Print one line of progress to stderr; stdout is for the shell that evaluates it."""
    print(f"lab: {line}", file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path],
    *,
    log: str,
    what: str,
    env: Mapping[str, str] | None = None,
    outlive: bool = False,
    contained: bool = False,
) -> None:
    """Run a command to its end, with its output in `logs/<log>.log`.

    It is killed when this program ends, unless it may `outlive` it (apt must not be interrupted).
    `contained` gives it namespaces for processes and mounts, so that a kill leaves none of them.
    Raises LabError with the log's last lines if the command fails.
    """
    words = [str(word) for word in command]
    if contained:
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *words]
    if not outlive:
        words = ["setpriv", "--pdeathsig", "KILL", *words]
    path = LOGS / f"{log}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as out:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=os.environ | dict(env or {})
        )
        start = time.monotonic()
        while True:
            try:
                code = process.wait(timeout=HEARTBEAT_S)
                break
            except subprocess.TimeoutExpired:
                say(f"  … {time.monotonic() - start:.0f} s: {tail(path, 1)[:90]}")
    if code:
        raise LabError(f"{what} failed (exit {code}); its log is {path}, which ends in:\n{tail(path, 8)}")


def tail(path: Path, lines: int) -> str:
    """Return a log's last lines; "" if there is no log."""
    with contextlib.suppress(FileNotFoundError), path.open(errors="replace") as file:
        return "".join(deque(file, lines)).strip()
    return ""


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """Announce a long step, and print how long it took."""
    say(f"{what} …")
    start = time.monotonic()
    yield
    say(f"  done in {time.monotonic() - start:.0f} s")


@contextlib.contextmanager
def temporary(name: str) -> Iterator[Path]:
    """Yield a new folder on the state's disk, deleted at the end; `up` deletes what a kill left."""
    TEMPORARY.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=TEMPORARY))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
