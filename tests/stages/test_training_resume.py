"""A run that is killed goes on where it was, to the same weights; what can't be gone on with is not."""

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from ml_pipeline.stages.tabular.checkpoints import Checkpoints, State
from tests.stages.programs import SOURCE
from tests.stages.tabular_rows import labelled

SETTINGS = {"task": "classification", "target": "y", "config": {"epochs": 6, "patience": 6}}
# The stage as it is, but for a checkpoint after each epoch however short.
PROGRAM = """
from ml_pipeline.stages import train
from ml_pipeline.stages.tabular import checkpoints
checkpoints.INTERVAL = 0
train.main()
"""


@dataclass(frozen=True)
class Training:
    """One run's folder, in which it may be started more than once."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "checkpoint.safetensors"

    def start(self) -> subprocess.Popen[str]:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "settings.json").write_text(json.dumps(SETTINGS))
        labelled().write_parquet(self.folder / "train.parquet")
        variables = {
            "ML_DATA": "train.parquet",
            "ML_OUTPUT": "out",
            "ML_CHECKPOINTS": "checkpoints",
            "ML_SEED": "0",
            "ML_OUTCOME": "outcome.json",
            "PYTHONPATH": str(SOURCE),
            "PYTHONWARNINGS": "error",
        }
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "--config", "settings.json"],
            cwd=self.folder,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> tuple[str, dict[str, Any]]:
        """Run to the end; return what it printed, and its outcome's details."""
        process = self.start()
        printed, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        return printed, json.loads((self.folder / "outcome.json").read_text())["details"]

    def kill_after(self, epoch: int) -> str:
        """Run until an epoch's line is printed, and kill the process then; return what it printed."""
        process = self.start()
        printed = ""
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                printed += line
                if line.startswith(f"epoch {epoch} of"):
                    process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        return printed

    def history(self) -> list[dict[str, str]]:
        rows = csv.DictReader((self.folder / "out" / "history.csv").read_text().splitlines())
        return [{key: value for key, value in row.items() if key != "samples_per_second"} for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, str]:
    """A run that nothing interrupted, and its weights' digest."""
    training = Training(tmp_path_factory.mktemp("whole") / "run")
    _, details = training.finish()
    return training, details["weights"]


@pytest.mark.timeout(600)
def test_a_run_that_is_killed_three_times(whole: tuple[Training, str], tmp_path: Path) -> None:
    killed = Training(tmp_path / "run")
    for epoch in (1, 3, 5):
        killed.kill_after(epoch)
        assert not (killed.folder / "out" / "model.onnx").exists()
    printed, details = killed.finish()
    # The last line printed is of an epoch whose checkpoint may not have been written yet.
    assert "going on after epoch 5" in printed or "going on after epoch 4" in printed
    assert details["weights"] == whole[1]
    assert killed.history() == whole[0].history()
    assert not killed.checkpoint.exists(), "a run that has ended leaves none"


STATE = State({"weight": torch.arange(6.0), "step": torch.tensor(3)}, {"best": 2})


@pytest.mark.parametrize("spoil", ["torn", "changed", "empty"])
def test_a_checkpoint_that_is_torn(tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: str) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save("this run", STATE)
    kept = checkpoints.load("this run")
    assert kept is not None
    assert kept.facts == STATE.facts
    assert torch.equal(kept.tensors["weight"], STATE.tensors["weight"])
    (path,) = (tmp_path / "checkpoints").iterdir()
    content = path.read_bytes()
    changed = content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes({"torn": content[:-10], "changed": changed, "empty": b""}[spoil])
    assert checkpoints.load("this run") is None
    assert capsys.readouterr().out == "the checkpoint is torn, so training starts anew\n"


def test_a_checkpoint_of_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("that run", STATE)
    assert checkpoints.load("this run") is None
    assert capsys.readouterr().out == "the checkpoint is of another run, so training starts anew\n"
    checkpoints.clear()
    assert checkpoints.load("this run") is None
    assert capsys.readouterr().out == ""
