"""The training stage with the built-in trainer, run in a folder that survives it."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.programs import SOURCE
from tests.training.tabular_rows import labelled

# The stage as it is, but for a checkpoint after each epoch however short.
PROGRAM = """
from ml_pipeline.training import train
from ml_pipeline.training.tabular import checkpoints
checkpoints.INTERVAL = 0
train.main()
"""


@dataclass(frozen=True)
class Training:
    """One run's folder, in which it may be started more than once."""

    folder: Path
    processes: int = 1
    config: Mapping[str, Any] = field(default_factory=lambda: {"epochs": 6, "patience": 6})

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "checkpoint.safetensors"

    def start(self) -> subprocess.Popen[str]:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "settings.json").write_text(
            json.dumps({"task": "classification", "target": "y", "config": self.config})
        )
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
        words = ["--config", "settings.json", *(["--processes", str(self.processes)] * (self.processes > 1))]
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
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
