"""What a stage's program leaves, as the pipeline and people read it: by real processes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[2] / "src"
SLOW_IMPORT = 0.7  # seconds


def run(folder: Path, body: str, **variables: str) -> tuple["subprocess.CompletedProcess[str]", Any]:
    """Run a stage whose imports are slow; return the process and its outcome."""
    program = folder / "program.py"
    program.write_text(
        f"import time\ntime.sleep({SLOW_IMPORT})\n"
        "from ml_pipeline.common.outcome import StageFailure, run_stage\n"
        f"def body():\n    {body}\n"
        'run_stage("by-hand", body)\n'
    )
    outcome = folder / "outcome" / "outcome.json"
    environment = {key: value for key, value in os.environ.items() if key != "ML_STAGE"}
    environment |= {"PYTHONPATH": str(SOURCE), "ML_OUTCOME": str(outcome), **variables}
    done = subprocess.run(
        [sys.executable, program], env=environment, capture_output=True, text=True, check=False
    )
    return done, json.loads(outcome.read_text())


def test_a_stage_that_passes_counts_its_seconds_from_the_start_of_its_process(tmp_path: Path) -> None:
    before = time.time()
    done, outcome = run(tmp_path, 'time.sleep(0.2); return {"rows": 3}')
    elapsed = time.time() - before
    assert (done.returncode, done.stderr) == (0, "")
    seconds, started = outcome.pop("seconds"), outcome.pop("started")
    assert SLOW_IMPORT + 0.2 <= seconds <= elapsed + 0.02  # the kernel's ticks are of 0.01 s
    assert before + SLOW_IMPORT <= started <= before + elapsed
    assert outcome == {
        "stage": "by-hand",
        "status": "passed",
        "message": "",
        "hint": "",
        "details": {"rows": 3},
    }


def test_a_stage_that_fails_calls_itself_by_the_pipeline_s_name(tmp_path: Path) -> None:
    body = 'raise StageFailure("no rows", "add some", {"rows": 0})'
    done, outcome = run(tmp_path, body, ML_STAGE="validate-data")
    assert (done.returncode, done.stderr) == (1, "validate-data: no rows; add some\n")
    assert (outcome["stage"], outcome["status"]) == ("validate-data", "failed")
    assert (outcome["message"], outcome["hint"], outcome["details"]) == ("no rows", "add some", {"rows": 0})


@pytest.mark.parametrize("body", ["return 1 / 0", "import os; os._exit(7)"])
def test_a_crash_leaves_an_outcome_that_did_not_end(tmp_path: Path, body: str) -> None:
    done, outcome = run(tmp_path, body)
    assert done.returncode in {1, 7}
    assert outcome["status"] == "unfinished"
    assert "seconds" not in outcome
