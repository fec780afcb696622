"""A project's own training command: run, watched, and told apart by how it ended."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

from ml_pipeline.common.outcome import OUTCOME_VARIABLE, StageFailure

NOT_FOUND, KILLED = 127, 128 + signal.SIGKILL  # as a shell tells them
LINE = 300  # characters of a command's last line that a message shows
GRACE = 10.0  # seconds between SIGTERM and SIGKILL for a command that takes too long


def run_command(command: str, workdir: Path, variables: dict[str, str], timeout: float | None) -> None:
    """Run a shell command in `workdir`, its output passed on as it comes. Raises `StageFailure`.

    After `timeout` seconds it and all that it started are ended.
    """
    if not workdir.is_dir():
        raise StageFailure(f"the project's folder {workdir} is not there", "name it by --workdir")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **variables}
    environment.pop(OUTCOME_VARIABLE, None)  # that document is this stage's own
    # The project's packages, installed or not, are importable as they are on its author's machine.
    environment["PYTHONPATH"] = f"{workdir / 'src'}:{workdir}"
    last: deque[str] = deque(maxlen=1)
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=workdir,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # so that all of it can be ended at once
    ) as process:
        assert process.stderr is not None  # noqa: S101
        watch = _Watch(process.pid, timeout)
        try:
            for line in process.stderr:
                sys.stderr.write(line)
                if line.strip():
                    last.append(line.strip()[:LINE])
            process.wait()
        except BaseException:  # this process is told to end
            watch.end()
            raise
        watch.cancel()
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    said = f"it ended with: {last[0]}" if last else "it wrote nothing to stderr"
    if watch.rang:
        raise StageFailure(
            f"the training command was ended after {timeout:g} s; {said}",
            "raise train.timeout, or find what it waits for",
        )
    if code == KILLED:
        raise StageFailure(
            f"the training command ran out of memory or was killed (exit {KILLED}); {said}",
            "give the engine more memory, or train on less at once",
        )
    if code == NOT_FOUND:
        raise StageFailure(
            f"the training command was not found (exit {NOT_FOUND}); {said}",
            "check train.command, and that the project's requirements install it",
        )
    if code:
        raise StageFailure(
            f"the training command exited with {code}; {said}", "mend train.command; its output is above"
        )


class _Watch:
    """Ends a process group: asked when `timeout` seconds are over, made to when it does not listen."""

    def __init__(self, group: int, timeout: float | None) -> None:
        self.rang = False
        self._group = group
        self._clocks: list[threading.Timer] = []
        if timeout:
            self._end_after(timeout)

    def end(self) -> None:
        self._end_after(0)

    def cancel(self) -> None:
        for clock in self._clocks:
            clock.cancel()

    def _end_after(self, seconds: float) -> None:
        for how, after in ((signal.SIGTERM, seconds), (signal.SIGKILL, seconds + GRACE)):
            clock = threading.Timer(after, self._end, (how,))
            clock.daemon = True
            clock.start()
            self._clocks.append(clock)

    def _end(self, how: signal.Signals) -> None:
        self.rang = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, how)
