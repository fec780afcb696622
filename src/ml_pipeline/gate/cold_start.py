"""Start the server of the serving image several times, and time it until its first prediction.

    python -m ml_pipeline.gate.cold_start --requests requests.json --output FOLDER

Writes metrics.json: cold_start_ms, the median of the starts. It does not include the image's
download and the container's creation. Standard library only: it runs inside the image.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import StageFailure, run_stage

METRIC = "cold_start_ms"
STARTS = 3
TIMEOUT = 120.0  # seconds for one start
PAUSE = 0.005  # seconds between two tries to connect
SERVE = [sys.executable, "-m", "ml_pipeline.serving.serve"]


def measure(requests: Path, output: Path) -> dict[str, object]:
    """Return and write how long the starts took, in milliseconds; raises StageFailure where one fails."""
    body = json.dumps({"instances": json.loads(requests.read_text())["instances"][:1]}).encode()
    starts = [1000 * _start(body) for _ in range(STARTS)]
    median = statistics.median(starts)
    output.mkdir(parents=True, exist_ok=True)
    (output / "metrics.json").write_text(json.dumps({METRIC: median}))
    print(f"first prediction after {median:.0f} ms, the median of {STARTS} starts")
    return {METRIC: median, "starts_ms": starts}


def _start(body: bytes) -> float:
    """Start the server, ask it until it answers, end it; return the seconds until the answer."""
    port = int(os.environ.get("ML_PORT", "8000"))
    started = time.monotonic()
    with subprocess.Popen(SERVE, env=os.environ | {"ML_OUTCOME": ""}) as server:
        try:
            while not _answers(port, body):
                if server.poll() is not None:
                    cause = f"the image's server exited with code {server.returncode} before a prediction"
                    raise StageFailure(cause, "read the stage's log above")
                if time.monotonic() - started > TIMEOUT:
                    cause = f"the image answered no prediction within {TIMEOUT:g} s of its start"
                    raise StageFailure(cause, "run `serve` and read the image's log")
                time.sleep(PAUSE)
            return time.monotonic() - started
        finally:
            server.kill()


def _answers(port: int, body: bytes) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the measurement that the arguments describe."""
    parser = command_line.parser("gate.cold_start", __doc__)
    parser.add_argument("--requests", type=Path, required=True, help="requests.json of `evaluate prepare`")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    options = parser.parse_args(arguments)
    run_stage("start-candidate", lambda: measure(options.requests, options.output))


if __name__ == "__main__":
    main()
