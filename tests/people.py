"""A clean table of people, a project's folder around it, and the data stage run on that."""

import importlib
import io
import json
import subprocess
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

Frame = dict[str, list[Any]]


def people(rows: int = 100) -> Frame:
    """A clean table: every fifth person says yes."""
    return {
        "age": [17 + (11 * row) % 70 for row in range(rows)],
        "job": [("clerk", "smith", None)[row % 3] for row in range(rows)],
        "weight": [50 + row / 2 for row in range(rows)],
        "id": [f"p{row:04}" for row in range(rows)],
        "seen": [datetime(2024, 1, 1 + row % 28, row % 24) for row in range(rows)],
        "answer": ["yes" if row % 5 == 0 else "no" for row in range(rows)],
    }


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "path": "people.parquet",
        "target": "answer",
        "positive": "yes",
        "holdout": 0.2,
        "time": None,
        "exclude": [],
        "task": "classification",
        "seed": 0,
        "columns": {},
        "drift": {"alpha": 0.05, "threshold": 0.1, "effect": None, "action": "warn"},
        "leakage": {"score": 0.95, "shared": 0.05, "action": "warn"},
    } | changes


def in_process(
    command: str, arguments: Sequence[str | Path], outcome: Path
) -> subprocess.CompletedProcess[str]:
    """Run a program of the data stages as the containers do, but in this process: a start takes seconds."""
    program = importlib.import_module(f"ml_pipeline.data.{command}")
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setenv("ML_OUTCOME", str(outcome))
        with pytest.raises(SystemExit) as end:
            program.main(list(map(str, arguments)))
    return subprocess.CompletedProcess(command, cast("int", end.value.code), out.getvalue(), err.getvalue())


class Project:
    """A project's folder, and the stage run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.output = folder / "output"
        self.folder.mkdir()

    def put(self, frame: Frame, name: str = "people.parquet") -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pl.DataFrame(frame, strict=False)
        if path.suffix == ".parquet":
            table.write_parquet(path)
        else:
            table.write_csv(path)

    def run(self, command: str, **changes: Any) -> subprocess.CompletedProcess[str]:
        config = self.output.parent / "settings.json"
        config.write_text(json.dumps(settings(**changes)))
        arguments: list[str | Path] = ["--config", config, "--data", self.folder, "--output", self.output]
        return in_process(command, arguments, self.output / "outcome.json")

    def passes(self, command: str = "validate", **changes: Any) -> str:
        done = self.run(command, **changes)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def fails(self, command: str = "validate", **changes: Any) -> str:
        """Return the one line that says why, without the stage's name."""
        done = self.run(command, **changes)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        stage = {"validate": "validate-data", "split": "split"}[command]
        assert done.stderr.startswith(f"{stage}: ")
        return done.stderr.strip().removeprefix(f"{stage}: ")

    def report(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.output / "report.json").read_text())
        return document

    def rules(self) -> set[tuple[str, str]]:
        return {(bad["column"], bad["rule"]) for bad in self.report()["violations"]}

    def read(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.output / f"{name}.parquet")


FULL_SCHEMA: dict[str, dict[str, Any]] = {
    "age": {"type": "integer", "min": 17, "max": 90, "nullable": False},
    "job": {"type": "string", "allowed": ["clerk", "smith"], "max_missing": 0.35},
    "weight": {"type": "number", "min": 50},
    "id": {"type": "string", "pattern": "p[0-9]{4}", "unique": True},
    "seen": {"type": "datetime", "min": "2024-01-01", "max": "2024-12-31T23:59:59Z"},
    "answer": {"type": "string"},
}


def changed(**columns: dict[int, Any]) -> Frame:
    """People with some cells replaced, by column and row from 0."""
    frame = people()
    for name, cells in columns.items():
        for row, value in cells.items():
            frame[name][row] = value
    return frame
