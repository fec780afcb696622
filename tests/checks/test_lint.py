"""Lint over small projects: findings, none, and tools that can't run or that only seem to have run."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_pipeline.checks import lint, ruff, tools
from ml_pipeline.common.outcome import StageFailure
from tests.programs import run

pytestmark = pytest.mark.program

CLEAN = '"""A module."""\n\nANSWER = 42\n'
UNUSED = "import os\n"
UNFORMATTED = "answer  =  42\n"
WRONG_TYPE = 'answer: int = "42"\n'
MYPY = "[tool.mypy]\nstrict = true\n"
RUFF = {"ruff.toml": ""}

Put = Callable[[dict[str, str | bytes]], Path]
Tool = Callable[[str, str], None]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Return a function that writes a project of these files, path → content, and returns its folder."""

    def once(files: dict[str, str | bytes]) -> Path:
        source = tmp_path / "project"
        source.mkdir()
        for name, content in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return source

    return once


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Return a function that puts a program of a tool's name beside Python; it is a shell script's text."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("ruff", "mypy"):
        shutil.copyfile(Path(sys.executable).with_name(name), commands / name)
        (commands / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(commands / "python"))

    def once(name: str, text: str) -> None:
        (commands / name).write_text(f"#!/bin/sh\n{text}\n")
        (commands / name).chmod(0o755)

    return once


def _findings(details: dict[str, object]) -> object:
    return details["findings"]


def test_a_clean_project_as_a_program(put: Put, tmp_path: Path) -> None:
    outcome = tmp_path / "outcome.json"
    source = put({"mine/__init__.py": "", "mine/module.py": CLEAN})
    done = run("checks.lint", "--source", source, ML_OUTCOME=str(outcome))
    version = tools.version("ruff", source)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"ruff check {version}: no findings\nruff format {version}: no findings\n"
    assert json.loads(outcome.read_text())["details"] == {
        "versions": {"ruff check": version, "ruff format": version},
        "findings": {"ruff check": 0, "ruff format": 0},
    }


def test_a_project_without_python_files(put: Put) -> None:
    assert _findings(lint.lint(put({"README.md": "# Nothing\n"}))) == {"ruff check": 0, "ruff format": 0}


@pytest.mark.parametrize(
    ("files", "cause", "findings"),
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
    ],
)
def test_findings(put: Put, files: dict[str, str], cause: str, findings: dict[str, int]) -> None:
    with pytest.raises(StageFailure) as failed:
        lint.lint(put({**RUFF, **files}))
    assert (failed.value.cause, failed.value.hint) == (cause, lint.HINT)
    assert failed.value.details["findings"] == findings


def test_types_are_checked_if_the_project_configures_mypy(put: Put) -> None:
    files = {"module.py": CLEAN, "pyproject.toml": MYPY + 'files = ["module.py"]\n'}
    assert _findings(lint.lint(put(files))) == {"ruff check": 0, "ruff format": 0, "mypy": 0}


@pytest.mark.parametrize(
    ("files", "required", "cause"),
    [
        ({}, None, None),  # its author does not use ruff
        ({}, True, "2 by ruff check"),
        ({"ruff.toml": ""}, None, "2 by ruff check"),
        ({"ruff.toml": ""}, False, None),
        ({"pyproject.toml": "[tool.black]\n"}, None, None),
    ],
)
def test_findings_fail_where_they_are_required(
    put: Put, files: dict[str, str], required: bool | None, cause: str | None
) -> None:
    source = put({"module.py": "import os\nimport sys\n", **files})
    if cause:
        with pytest.raises(StageFailure, match=f"^findings: {cause}"):
            lint.lint(source, required)
    else:
        warning = lint.lint(source, required)["warning"]
        why = "lint.required = false" if required is False else "the project does not configure it"
        first = "module.py:1: F401 `os` imported but unused"
        assert warning == f"2 by ruff check; the first: {first} (a warning: {why})"


def test_the_format_is_no_rule_where_the_author_uses_black(put: Put) -> None:
    settings = "[tool.ruff]\n[tool.black]\n"
    warning = lint.lint(put({"module.py": UNFORMATTED, "pyproject.toml": settings}))["warning"]
    assert str(warning).startswith("1 by ruff format; the first: module.py:1: unformatted")


@pytest.mark.parametrize(
    ("files", "cause"),
    [
        ({"module.py": CLEAN, "ruff.toml": 'line-length = "wide"\n'}, "ruff can't run: "),
        (
            {"module.py": CLEAN, "mypy.ini": "[mypy]\npython_version = old\nfiles = nowhere.py\n"},
            "mypy can't run: ",
        ),
        (
            {"module.py": CLEAN, "mypy.ini": "[mypy]\nplugins = ./plug.py\n", "plug.py": CLEAN},
            "mypy can't run: ",
        ),
        (
            {
                "module.py": CLEAN,
                "mypy.ini": "[mypy]\nplugins = ./plug.py\n",
                "plug.py": "import os\n\nos._exit(0)\n",
            },
            "mypy can't run: it ended without a verdict (exit 0)",
        ),
        ({"old.py": b"name = '\xe9'\n", "mypy.ini": "[mypy]\n"}, "mypy can't run: ./old.py: error: Cannot"),
    ],
)
def test_a_tool_that_cannot_run(put: Put, files: dict[str, str | bytes], cause: str) -> None:
    with pytest.raises(StageFailure) as failed:
        lint.lint(put(files))
    assert failed.value.cause.startswith(cause)
    assert "\n" not in failed.value.cause
    assert failed.value.hint.startswith("correct the project's ")


@pytest.mark.parametrize(
    ("name", "script", "cause"),
    [
        (
            "mypy",
            "echo 'Traceback (most recent call last):' >&2; "
            "echo \"ImportError: cannot import name 'PathSpec' from 'pathspec'\" >&2; exit 1",
            "mypy can't run: ImportError: cannot import name 'PathSpec' from 'pathspec'",
        ),
        (
            "mypy",
            '[ "$1" = --version ] && echo mypy 1.0 && exit; echo "m.py:1: error: no"; exit 1',
            "mypy can't run: m.py:1: error: no",
        ),
        (
            "mypy",
            '[ "$1" = --version ] && echo mypy 1.0 && exit; echo "Success: no issues found in 1 file"; '
            "kill -9 $$",
            "mypy can't run: Success: no issues found in 1 file",
        ),
        ("ruff", '[ "$1" = --version ] && echo ruff 1.0 && exit; exit 0', "(exit 0)"),
        ("ruff", '[ "$1" = --version ] && echo ruff 1.0 && exit; kill -9 $$', "(was killed by signal 9)"),
        ("ruff", '[ "$1" = --version ] && echo ruff 1.0 && exit; echo "[]"; exit 2', "ruff can't run: []"),
    ],
)
def test_a_tool_that_died_has_not_found_nothing(
    put: Put, tool: Tool, name: str, script: str, cause: str
) -> None:
    tool(name, script)
    with pytest.raises(StageFailure) as failed:
        lint.lint(put({"m.py": CLEAN, "mypy.ini": "[mypy]\n"}))
    assert failed.value.cause.startswith(f"{name} can't run: ")
    assert cause in failed.value.cause


def test_a_file_with_the_name_of_a_module_that_mypy_needs_does_not_end_it(put: Put) -> None:
    settings = MYPY + 'files = ["m.py"]\n'
    with pytest.raises(StageFailure) as failed:
        lint.lint(put({"inspect.py": CLEAN, "m.py": WRONG_TYPE, "pyproject.toml": settings}))
    assert failed.value.cause == (
        "findings: 1 by mypy; the first: m.py:1: error: Incompatible types in assignment (expression has "
        'type "str", variable has type "int")  [assignment]'
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.ipynb", b""),
        ("conflict.ipynb", b'<<<<<<< HEAD\n{"cells": []}\n=======\n{}\n>>>>>>> other\n'),
        ("v3.ipynb", b'{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": []}]}'),
        ("latin.py", b"name = '\xe9'\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(put: Put, name: str, content: bytes) -> None:
    with pytest.raises(StageFailure) as failed:
        lint.lint(put({**RUFF, name: content}))
    assert f"the first: {name}" in failed.value.cause
    assert "\n" not in failed.value.cause


def test_a_link_to_nothing_is_named(put: Put) -> None:
    source = put({**RUFF, "m.py": CLEAN})
    (source / "gone.py").symlink_to("nowhere.py")
    with pytest.raises(StageFailure, match=r"the first: gone\.py:1: E902 No such file"):
        lint.lint(source)


OLDER = """case "$*" in
  --version) echo ruff 0.0.280;;
  format*) echo "error: unrecognized subcommand 'format'" >&2; exit 2;;
  *--output-format*) echo "error: unexpected argument '--output-format' found" >&2; exit 2;;
  *) echo '[{"filename": "'$PWD'/m.py", "code": "F401", "message": "no", "location": {"row": 3}}]'; exit 1;;
esac"""


def test_older_versions_of_ruff(put: Put, tool: Tool) -> None:
    source = put({"m.py": CLEAN})
    tool("ruff", OLDER)
    assert ruff.style(source) == tools.Report("ruff check", "0.0.280", ("m.py:3: F401 no",))
    assert ruff.formatting(source) is None
    tool(
        "ruff",
        '[ "$1" = --version ] && echo ruff 0.1.9 && exit; echo "Would reformat: m.py"; '
        'echo "1 file would be reformatted"; exit 1',
    )
    assert ruff.formatting(source) == tools.Report("ruff format", "0.1.9", ("m.py: would be reformatted",))


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
    assert lint.configures_mypy(tmp_path) is configured
