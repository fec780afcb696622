"""Running ruff and mypy as their author does: by their own commands, without our PYTHONPATH."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_pipeline.common.lines import last_line
from ml_pipeline.common.outcome import StageFailure


@dataclass(frozen=True)
class Report:
    """What a tool said: its version, and its findings, one line each."""

    tool: str
    version: str
    findings: tuple[str, ...]


def run(command: Sequence[str], source: Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment in the project's folder. Raises StageFailure if it can't be started.

    The command itself, not `python -m`, which would let a file of the project stand in for one of Python's.
    """
    beside = Path(sys.executable).with_name(command[0])
    path = str(beside) if beside.exists() else shutil.which(command[0])
    if not path:
        raise StageFailure(
            f"{command[0]} can't run: it is not installed", "add it to the project's requirements"
        )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [path, *command[1:]], cwd=source, env=environment, capture_output=True, text=True, errors="replace",
        check=False,
    )  # fmt: skip


def version(tool: str, source: Path) -> str:
    """Return a tool's version, such as 2.1.0. Raises StageFailure if it can't even say that."""
    answer = run([tool, "--version"], source)
    words = answer.stdout.split()
    if answer.returncode or len(words) < 2:
        raise unable(tool, answer)
    return words[1]


def unable(tool: str, ended: subprocess.CompletedProcess[str]) -> StageFailure:
    """Return the failure of a tool that ended without a verdict, with its last words."""
    words = last_line(ended.stderr) or last_line(ended.stdout)
    how = f"was killed by signal {-ended.returncode}" if ended.returncode < 0 else f"exit {ended.returncode}"
    cause = words or f"it ended without a verdict ({how})"
    hint = f"correct the project's {tool} settings, or the packages that it pins"
    return StageFailure(f"{tool} can't run: {cause}", hint)
