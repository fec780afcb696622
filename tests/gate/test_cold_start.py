"""How long the serving program takes from its start to its first prediction."""

import json
import socket
from pathlib import Path

import pytest

from tests.programs import EXAMPLE, run

pytestmark = pytest.mark.program


def free_port() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])


def test_the_first_prediction(onnx_folder: Path, tmp_path: Path) -> None:
    requests = tmp_path / "requests.json"
    requests.write_text(json.dumps({"rows": [0], "instances": [EXAMPLE]}))
    arguments = ("--requests", requests, "--output", tmp_path)
    outcome = tmp_path / "outcome.json"
    done = run(
        "gate.cold_start", *arguments, ML_MODEL=str(onnx_folder), ML_PORT=free_port(), ML_OUTCOME=str(outcome)
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "metrics.json").read_text())["cold_start_ms"]
    told = json.loads(outcome.read_text())
    starts = told["details"]["starts_ms"]
    assert found == sorted(starts)[1]
    assert 50 < min(starts) <= max(starts) < 1000 * told["seconds"]


def test_a_server_that_does_not_start(tmp_path: Path) -> None:
    requests = tmp_path / "requests.json"
    requests.write_text(json.dumps({"rows": [0], "instances": [EXAMPLE]}))
    arguments = ("--requests", requests, "--output", tmp_path)
    done = run("gate.cold_start", *arguments, ML_MODEL=str(tmp_path / "none"), ML_PORT=free_port())
    assert done.returncode == 1
    cause = "the image's server exited with code 1 before a prediction"
    assert done.stderr.splitlines()[-1] == f"start-candidate: {cause}; read the stage's log above"
    assert not (tmp_path / "metrics.json").exists()
