"""One pod of a training Job: train together with the others, and hand over the result.

    python -m ml_pipeline.training.node --nodes 2 --rendezvous 10.96.0.7:29400 --run wine --config FILE …

Runs the train stage with the variables of the training contract, and again when the nodes lost each other.
The pod that has the result (the model, or the reason for a failure) becomes ready: it answers GET /digest and
GET /result (a tar) on its port, and POST /taken ends it. Somebody must send GET /watched every few minutes: a
training that nobody watches ends itself. The folder of --source, which may be read-only, is copied to a place
where the project may write. The other arguments are those of ml_pipeline.training.train.
"""

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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import OUTCOME_VARIABLE
from ml_pipeline.training.job import RESULT_PORT

ATTEMPTS = 30  # to come together; one that reaches nobody takes a minute
PAUSE_S = 3
SCRATCH = Path("/tmp")  # noqa: S108 - in the pod
UNWATCHED_S = 300  # without GET /watched a training ends itself
LOST_HINT = "see why pods were lost: kubectl get events"

Outcome: TypeAlias = dict[str, object]  # see common/outcome.py


class Handover(http.server.ThreadingHTTPServer):
    """A server that hands a result over, and remembers when somebody last watched it."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("", port), _Handler)
        self.result: Path | None = None
        self.digest = ""
        self.seen = time.monotonic()
        self.taken = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def watched(self) -> bool:
        """Whether somebody watched it lately."""
        return time.monotonic() - self.seen < UNWATCHED_S

    def offer(self, result: Path) -> None:
        """Be ready with a file, until somebody has taken it or nobody watches any more."""
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
            self.server.seen = time.monotonic()
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
        """Print nothing: the log is the training's."""


def train(command: Sequence[str], scratch: Path, handover: Handover) -> Outcome:
    """Run the train stage until its outcome is not that the nodes lost each other; return the outcome."""
    path = scratch / "outcome.json"
    outcome: Outcome = {}
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
        if not _details(outcome).get("lost"):
            return outcome
        print("the nodes lost each other; going on when all are back", flush=True)
        time.sleep(PAUSE_S)
    return outcome | {"hint": LOST_HINT}


def _details(outcome: Outcome) -> Mapping[str, object]:
    details = outcome.get("details")
    return details if isinstance(details, dict) else {}


def _crash(code: int) -> Outcome:
    if code == -signal.SIGKILL:
        message, hint = "ran out of memory or was killed (exit 137)", "raise train.node.memory_mb"
    else:
        message, hint = f"exited with code {code} and wrote no outcome", "read the stage's log above"
    return {"status": "failed", "message": message, "hint": hint, "details": {}}


def writable(source: Path, copy: Path) -> Path:
    """Copy a folder over an older copy of it, and let its owner write in the copy; return the copy."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRWXU)
    return copy


def pack(outcome: Outcome, output: Path, target: Path) -> Path:
    """Write the outcome and the files that training wrote as one tar; return its path."""
    document = target.with_suffix(".json")
    document.write_text(json.dumps(outcome))
    with tarfile.open(target, "w") as archive:
        archive.add(document, "outcome.json")
        if output.is_dir():
            archive.add(output, "output")
    return target


def main() -> None:
    """Train as one pod of a Job, as the command line says."""
    parser = command_line.parser("training.node", __doc__)
    parser.add_argument("--source", type=Path, help="the project's folder, where it has a training command")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help=f"a folder to write into ({SCRATCH})")
    parser.add_argument(
        "--port", type=int, default=RESULT_PORT, help=f"the port of the result ({RESULT_PORT})"
    )
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
    if not _details(outcome).get("elsewhere"):
        handover.offer(pack(outcome, Path(os.environ["ML_OUTPUT"]), options.scratch / "result.tar"))


if __name__ == "__main__":
    main()
