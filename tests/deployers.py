"""The deploy program as processes that start at once: forks of one that has imported its packages.

Importing them takes longer than most calls. A fork is a process like any other: it has its own arguments,
environment and output, and can be killed. It ends without taking down the interpreter, for that would copy
all the memory that it shares: two seconds on a busy machine.
"""

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

STARTING = threading.Lock()
SERVER = """
import faulthandler, gc, json, os, signal, sys
from ml_pipeline.release import deploy
gc.freeze()
for line in sys.stdin:
    job = json.loads(line)
    if isinstance(job, int):
        pid, status = os.waitpid(job, os.WNOHANG)
        print(os.waitstatus_to_exitcode(status) if pid else "", flush=True)
        continue
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    for number, path in enumerate((os.devnull, job["stdout"], job["stderr"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    faulthandler.register(signal.SIGUSR1)
    os.environ["ML_OUTCOME"] = job["outcome"]
    sys.argv = ["deploy", *job["arguments"]]
    code = 1
    try:
        deploy.main()
    except SystemExit as exit:
        code = exit.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
"""


class _Server:
    """The process that is forked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ask(self, job: object) -> str:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        with self._lock:
            print(json.dumps(job), file=stdin, flush=True)
            return stdout.readline().strip()


@functools.cache
def _started() -> _Server:
    return _Server()


def _server() -> _Server:
    with STARTING:
        return _started()


class Deployer:
    """One call of the deploy program; has the methods of subprocess.Popen that tests use."""

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self.returncode: int | None = None
        self.outcome = folder / "out.json"
        self._texts = folder / "stdout", folder / "stderr"
        job = {"arguments": list(arguments), "outcome": str(self.outcome)}
        self.pid = int(_server().ask(job | {path.name: str(path) for path in self._texts}))

    def poll(self) -> int | None:
        if self.returncode is None and (code := _server().ask(self.pid)):
            self.returncode = int(code)
        return self.returncode

    def wait(self, timeout: float = 100) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                self.send_signal(signal.SIGUSR1)  # it then writes where it is
                time.sleep(0.5)
                raise AssertionError(f"still runs: {self.read()}")
            time.sleep(0.03)
        return code

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def communicate(self, timeout: float = 100) -> tuple[str, str]:
        self.wait(timeout)
        return self.read()

    def read(self) -> tuple[str, str]:
        """What it has written to stdout and stderr until now."""
        stdout, stderr = (path.read_text() if path.exists() else "" for path in self._texts)
        return stdout, stderr
