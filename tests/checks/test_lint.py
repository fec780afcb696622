"""Lint as a program over small projects: findings, none, and tools that can't run."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_pipeline.checks.lint import configures_mypy
from tests.programs import run

pytestmark = pytest.mark.program

CLEAN = '"""A module."""\n\nANSWER = 42\n'
UNUSED = "import os\n"
UNFORMATTED = "answer  =  42\n"
WRONG_TYPE = 'answer: int = "42"\n'
MYPY = "[tool.mypy]\nstrict = true\n"
HINT = "run `ruff check --fix` and `ruff format`, and fix what remains"


@dataclass(frozen=True)
class Lint:
    """How a run of the program ended."""

    code: int
    stdout: str
    stderr: str
    outcome: dict[str, Any]  # JSON


Start = Callable[..., Lint]


@pytest.fixture
def lint(tmp_path: Path) -> Start:
    """Return a function that runs the program over a project with these files, path → content."""

    def once(files: dict[str, str]) -> Lint:
        source, outcome = tmp_path / "project", tmp_path / "outcome.json"
        source.mkdir()
        for name, content in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(content)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # ruff is called by its name
        done = run("checks.lint", "--source", source, ML_OUTCOME=str(outcome), PATH=path)
        return Lint(done.returncode, done.stdout, done.stderr, json.loads(outcome.read_text()))

    return once


def test_a_clean_project(lint: Start) -> None:
    done = lint({"mine/__init__.py": "", "mine/module.py": CLEAN})
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == "ruff check: no findings\nruff format: no findings\n"
    assert done.outcome["details"] == {"ruff check": 0, "ruff format": 0}


def test_a_project_without_python_files(lint: Start) -> None:
    assert lint({"README.md": "# Nothing\n"}).code == 0


@pytest.mark.parametrize(
    ("files", "cause", "details"),
    [
        (
            {"module.py": UNUSED},
            "findings: 1 by ruff check; the first: module.py:1: F401 `os` imported but unused",
            {"ruff check": 1, "ruff format": 0},
        ),
        (
            {"module.py": UNFORMATTED},
            "findings: 1 by ruff format; the first: module.py:1: unformatted File would be reformatted",
            {"ruff check": 0, "ruff format": 1},
        ),
        (
            {"module.py": UNUSED, "mine/other.py": UNUSED + "\n" + UNFORMATTED},
            "findings: 2 by ruff check, 1 by ruff format; the first: mine/other.py:1: F401 `os` imported but"
            " unused",
            {"ruff check": 2, "ruff format": 1},
        ),
        (
            {"module.py": WRONG_TYPE, "pyproject.toml": MYPY},
            "findings: 1 by mypy; the first: module.py:1: error: Incompatible types in assignment (expression"
            ' has type "str", variable has type "int")  [assignment]',
            {"ruff check": 0, "ruff format": 0, "mypy": 1},
        ),
    ],
)
def test_findings(lint: Start, files: dict[str, str], cause: str, details: dict[str, int]) -> None:
    done = lint(files)
    assert done.code == 1
    assert done.outcome["details"] == details
    assert (done.outcome["message"], done.outcome["hint"]) == (cause, HINT)
    assert done.stderr == f"lint: {cause}; {HINT}\n"
    for tool, count in details.items():
        assert f"{tool}: {count or 'no'} finding{'' if count == 1 else 's'}\n" in done.stdout


def test_types_are_checked_if_the_project_configures_mypy(lint: Start) -> None:
    done = lint({"module.py": CLEAN, "pyproject.toml": MYPY + 'files = ["module.py"]\n'})
    assert done.code == 0, done.stderr
    assert done.outcome["details"]["mypy"] == 0


@pytest.mark.parametrize(
    ("files", "cause", "hint"),
    [
        (
            {"module.py": CLEAN, "ruff.toml": 'line-length = "wide"\n'},
            "ruff can't run: ",
            "correct the project's ruff settings",
        ),
        (
            {"module.py": CLEAN, "mypy.ini": "[mypy]\npython_version = old\nfiles = nowhere.py\n"},
            "mypy can't run: ",
            "correct the project's mypy settings",
        ),
    ],
)
def test_a_tool_that_cannot_run(lint: Start, files: dict[str, str], cause: str, hint: str) -> None:
    done = lint(files)
    assert done.code == 1
    assert done.outcome["message"].startswith(cause)
    assert len(done.outcome["message"]) > len(cause)
    assert done.outcome["hint"] == hint
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "configured"),
    [
        ("mypy.ini", "", True),
        (".mypy.ini", "", True),
        ("setup.cfg", "[mypy]\n", True),
        ("setup.cfg", "[metadata]\n", False),
        ("pyproject.toml", MYPY, True),
        ("pyproject.toml", "[tool.ruff]\n", False),
        ("README.md", "mypy\n", False),
    ],
)
def test_where_mypy_is_configured(tmp_path: Path, name: str, content: str, configured: bool) -> None:
    (tmp_path / name).write_text(content)
    assert configures_mypy(tmp_path) is configured
