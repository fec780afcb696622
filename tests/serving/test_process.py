"""How the server starts, what it counts, and what it leaves alone."""

import platform
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.programs import Start, run

pytestmark = pytest.mark.program

ROW = {"age": 50, "job": "clerk", "member": True, "seen": None}


def test_metrics_count_the_answers(start: Start, onnx_folder: Path) -> None:
    before = time.time()
    fresh = start(onnx_folder)
    fresh.predict(ROW, ROW)
    fresh.predict({"age": 10})
    fresh.predict({"age": "x"})
    fresh.ask("GET", "/somewhere")
    counted = fresh.figures()
    assert counted['ml_requests_total{path="/predict",code="200"}'] == 2
    assert counted['ml_requests_total{path="/predict",code="422"}'] == 1
    assert counted['ml_requests_total{path="other",code="404"}'] == 1
    assert counted['ml_predictions_total{class="yes"}'] == 2
    assert counted['ml_predictions_total{class="no"}'] == 1
    assert counted["ml_rows_total"] == 3
    assert counted["ml_request_seconds_count"] == counted['ml_request_seconds_bucket{le="+Inf"}'] == 2
    assert 0 < counted["ml_request_seconds_sum"] < 5
    assert counted["ml_requests_in_flight"] == 1  # the one for the figures
    assert before - 1 < counted["process_start_time_seconds"] < time.time()
    versions = f'python="{platform.python_version()}",onnxruntime="{version("onnxruntime")}"'
    assert counted[f"ml_build_info{{{versions}}}"] == 1
    assert 10e6 < counted["process_resident_memory_bytes"] <= counted["process_peak_memory_bytes"] < 1e9


def test_first_prediction_comes_soon_after_the_start(start: Start, onnx_folder: Path) -> None:
    started = time.monotonic()
    served = start(onnx_folder)
    assert served.predict(ROW)[0] == 200
    # One second is what an idle machine must do, by the benchmark; tests run on busy ones.
    assert time.monotonic() - started < 5


def test_bad_surroundings_are_one_line(tmp_path: Path, onnx_folder: Path) -> None:
    absent = run("serving.serve", ML_MODEL=str(tmp_path / "none"), ML_PORT="0")
    assert absent.returncode == 1
    assert absent.stderr.count("\n") == 1
    assert "model.json can't be read (No such file or directory); mount the model's folder" in absent.stderr
    odd = run("serving.serve", ML_MODEL=str(onnx_folder), ML_QUEUE="many")
    assert odd.stderr == "serve: ML_QUEUE=many is not a number of at least 0; correct it; the default is 64\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        busy = run("serving.serve", ML_MODEL=str(onnx_folder), ML_PORT=port)
    assert busy.stderr.startswith(f"serve: port {port} can't be bound (Address already in use);")


def test_nothing_is_written_and_no_identity_is_made_up(
    start: Start, onnx_folder: Path, tmp_path: Path
) -> None:
    """ONNX Runtime, left alone, keeps a device's identity in $HOME and reports to its maker."""
    served = start(onnx_folder, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path), TMPDIR=str(tmp_path))
    assert served.predict(ROW)[0] == 200
    assert list(tmp_path.iterdir()) == []


def test_help_runs_without_a_model() -> None:
    done = run("serving.serve", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: python -m ml_pipeline.serving.serve ")
    assert "\n    ML_QUEUE           how many requests" in done.stdout


def test_nothing_of_training_is_imported(onnx_folder: Path) -> None:
    """The image has neither torch nor polars; importing less is what makes a start fast."""
    code = (
        "import sys, ml_pipeline.serving.serve; print(sorted({'torch', 'polars', 'onnx'} & set(sys.modules)))"
    )
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
