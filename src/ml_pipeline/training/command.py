"""Runs a project's own training command, with a time limit, and reports how it failed."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

from ml_pipeline.common.outcome import OUTCOME_VARIABLE, StageFailure

NOT_FOUND, KILLED = 127, 128 + signal.SIGKILL  # exit codes of a shell
LINE = 300  # so many characters of a command's last line are shown
GRACE = 10.0  # seconds between SIGTERM and SIGKILL


def run_command(command: str, workdir: Path, variables: dict[str, str], timeout: float | None) -> None:
    """Run a shell command in `workdir` and pass its output on. Raises StageFailure.

    After `timeout` seconds, the command and all processes that it started are ended.
    """
    if not workdir.is_dir():
        raise StageFailure(f"the project's folder {workdir} does not exist", "check --workdir")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **variables}
    environment.pop(OUTCOME_VARIABLE, None)  # only this program writes the outcome
    # The project's packages can be imported whether or not they are installed, as on a developer's machine.
    environment["PYTHONPATH"] = f"{workdir / 'src'}:{workdir}"
    last: deque[str] = deque(maxlen=1)
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=workdir,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # so that all its processes can be ended at once
    ) as process:
        assert process.stderr is not None  # noqa: S101
        watch = _Watch(process.pid, timeout)
        try:
            for line in process.stderr:
                sys.stderr.write(line)
                if line.strip():
                    last.append(line.strip()[:LINE])
            process.wait()
        except BaseException:  # this process is being ended
            watch.end()
            raise
        watch.cancel()
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    output = f"its last line was: {last[0]}" if last else "it wrote nothing to stderr"
    if watch.fired:
        raise StageFailure(
            f"the training command was stopped after {timeout:g} s; {output}",
            "raise train.timeout, or find out what the command waits for",
        )
    if code == KILLED:
        raise StageFailure(
            f"the training command ran out of memory or was killed (exit {KILLED}); {output}",
            "give the engine more memory, or use smaller batches",
        )
    if code == NOT_FOUND:
        raise StageFailure(
            f"the training command was not found (exit {NOT_FOUND}); {output}",
            "check train.command and the project's requirements",
        )
    if code:
        raise StageFailure(
            f"the training command exited with {code}; {output}", "correct train.command; its output is above"
        )


class _Watch:
    """Ends a process group after `timeout` seconds: with SIGTERM, and GRACE seconds later with SIGKILL."""

    def __init__(self, group: int, timeout: float | None) -> None:
        self.fired = False
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
        for number, after in ((signal.SIGTERM, seconds), (signal.SIGKILL, seconds + GRACE)):
            clock = threading.Timer(after, self._end, (number,))
            clock.daemon = True
            clock.start()
            self._clocks.append(clock)

    def _end(self, number: signal.Signals) -> None:
        self.fired = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, number)
