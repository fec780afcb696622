"""The server and the batch command at the names that earlier versions start them by."""

from pathlib import Path

import numpy as np
import pytest

from tests.programs import Start, run

pytestmark = pytest.mark.program

ROWS = {
    "age": np.array([50, 20]),
    "job": np.array(["clerk", ""]),
    "member": np.array([1.0, np.nan]),
    "seen": np.array([np.nan, 1.7e9]),
}


def test_the_batch_command_answers_alike_under_both_names(onnx_folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", **ROWS)
    answers = {}
    for program in ("stages.predict", "serving.predict"):
        target, outcome = tmp_path / f"{program}.npz", tmp_path / f"{program}.json"
        files = ("--input", tmp_path / "rows.npz", "--output", target)
        done = run(program, *files, ML_MODEL=str(onnx_folder), ML_OUTCOME=str(outcome))
        assert (done.returncode, done.stderr) == (0, "")
        assert '"status": "passed"' in outcome.read_text()
        answers[program] = target.read_bytes()
    assert answers["stages.predict"] == answers["serving.predict"]


def test_the_server_answers_under_its_older_name(start: Start, onnx_folder: Path) -> None:
    status, answer = start(onnx_folder, "stages.serve").predict({"age": 50, "job": "clerk"})
    assert (status, answer["predictions"]) == (200, ["yes"])
