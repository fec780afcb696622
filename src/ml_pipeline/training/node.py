"""One pod of a training Job: trains together with the others, and hands over what came of it.

    python -m ml_pipeline.training.node --nodes 2 --rendezvous 10.96.0.7:29400 --run wine --config FILE …

Runs the train stage with the contract's variables, again where the nodes lost each other. The pod that has
the result (the model, or why there is none) is ready: GET /digest and /result, a tar, are then answered, and
POST /taken ends it. GET /watched must come now and then: what nobody watches any more ends itself. All of it
on port 8001. The folder of --source, which may be read-only, is copied to where the project may write.
"""

import argparse
import hashlib
import http.server
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_pipeline.common.outcome import OUTCOME_VARIABLE
from ml_pipeline.training.job import RESULT_PORT

ATTEMPTS = 30  # to come together; one that reaches nobody takes a minute
PAUSE_S = 3
UNWATCHED_S = 300
LOST_HINT = "see why pods were lost: kubectl get events"


class Handover(http.server.ThreadingHTTPServer):
    """Hands a result over, and notes when it was last asked for anything."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("", port), _Handler)
        self.result: Path | None = None
        self.digest = ""
        self.asked = time.monotonic()
        self.taken = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def watched(self) -> bool:
        return time.monotonic() - self.asked < UNWATCHED_S

    def offer(self, result: Path) -> None:
        """Be ready with a file, until it is taken or nobody watches any more."""
        with result.open("rb") as file:
            self.digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.result = result
        while self.watched and not self.taken.wait(1):
            pass


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Handover

    def do_GET(self) -> None:
        result, ready = self.server.result, self.server.result is not None
        if self.path == "/watched":
            self.server.asked = time.monotonic()
            self._answer(200, b"")
        elif result and self.path == "/result":
            self.send_response(200)
            self.send_header("Content-Length", str(result.stat().st_size))
            self.end_headers()
            with result.open("rb") as file:
                shutil.copyfileobj(file, self.wfile)
        elif ready and self.path in {"/ready", "/digest"}:
            self._answer(200, self.server.digest.encode())
        else:
            self._answer(404, b"")

    def do_POST(self) -> None:
        self._answer(200 if self.path == "/taken" else 404, b"")
        if self.path == "/taken":
            self.server.taken.set()

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the log is the training's."""


def train(command: Sequence[str], scratch: Path, handover: Handover) -> dict[str, Any]:
    """Run the train stage to an outcome that is the training's own; return it."""
    path = scratch / "outcome.json"
    outcome: dict[str, Any] = {}
    for _ in range(ATTEMPTS):
        path.unlink(missing_ok=True)
        with subprocess.Popen(command, env={**os.environ, OUTCOME_VARIABLE: str(path)}) as process:
            try:
                while process.poll() is None:
                    if not handover.watched:
                        print("nobody watches this training any more: it ends", flush=True)
                        sys.exit(0)
                    time.sleep(0.2)
            except SystemExit:
                process.kill()  # and with it all that it started
                raise
        outcome = json.loads(path.read_text()) if path.exists() else {}
        if outcome.get("status", "unfinished") == "unfinished":
            return _crash(process.returncode)
        if not outcome["details"].get("lost"):
            return outcome
        print("the nodes lost each other; going on when all are back", flush=True)
        time.sleep(PAUSE_S)
    return outcome | {"hint": LOST_HINT}


def _crash(code: int) -> dict[str, Any]:
    if code == -signal.SIGKILL:
        message, hint = "ran out of memory or was killed (exit 137)", "raise train.node.memory_mb"
    else:
        message, hint = f"crashed with exit {code}", "read the stage's log above"
    return {"status": "failed", "message": message, "hint": hint, "details": {}}


def writable(source: Path, copy: Path) -> Path:
    """Copy a folder, in the place of an older copy, and let its owner write in it; return the copy."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)
    return copy


def pack(outcome: dict[str, Any], output: Path, target: Path) -> Path:
    """Write the outcome and what training wrote as one tar; return its path."""
    document = target.with_suffix(".json")
    document.write_text(json.dumps(outcome))
    with tarfile.open(target, "w") as archive:
        archive.add(document, "outcome.json")
        if output.is_dir():
            archive.add(output, "output")
    return target


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, help="the project's folder, for a command")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp"), help="a folder to write to")  # noqa: S108
    parser.add_argument("--port", type=int, default=RESULT_PORT, help=f"where to be asked ({RESULT_PORT})")
    parser.add_argument("--rendezvous", required=True, help="HOST:PORT of the first node")
    options, arguments = parser.parse_known_args()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    if options.source:
        arguments += ["--workdir", str(writable(options.source, options.scratch / "source"))]
    handover = Handover(options.port)
    first = os.environ.get("JOB_COMPLETION_INDEX", "0") == "0"
    port = options.rendezvous.rpartition(":")[2]
    meeting = f"localhost:{port}" if first else options.rendezvous
    command = [sys.executable, "-m", "ml_pipeline.training.train", *arguments, "--rendezvous", meeting]
    outcome = train([*command, "--address", os.environ["POD_IP"]], options.scratch, handover)
    if not outcome["details"].get("elsewhere"):
        handover.offer(pack(outcome, Path(os.environ["ML_OUTPUT"]), options.scratch / "result.tar"))


if __name__ == "__main__":
    main()
