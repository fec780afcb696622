"""The test stage as a program over small projects: how each kind of run ends, and what it reports."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_pipeline.checks.pytest_run import Results, failure, read_results
from tests.programs import run

pytestmark = pytest.mark.program

MODULE = "def double(x):\n    return 2 * x\n\n\ndef never():\n    return 0\n"
PASSING = "from mine import double\n\n\ndef test_double():\n    assert double(2) == 4\n"
FAILING = "\n\ndef test_the_impossible():\n    assert 1 + 1 == 3\n"
SKIPPED = "\n\nimport pytest\n\n\n@pytest.mark.skip\ndef test_later():\n    assert False\n"


@dataclass(frozen=True)
class Run:
    """How a run of the program ended."""

    code: int
    stdout: str
    stderr: str
    outcome: dict[str, Any]  # JSON
    output: Path


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Return a function that runs the program over a project with these files, path → content."""

    def once(files: dict[str, str], *options: str) -> Run:
        source, output, outcome = tmp_path / "project", tmp_path / "output", tmp_path / "outcome.json"
        for name, content in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(content)
        source.mkdir(exist_ok=True)
        arguments = ("--source", source, "--output", output, *options)
        # Without the plugins of the developers' environment, pytest starts several times as fast.
        variables = {"ML_OUTCOME": str(outcome), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = run("checks.pytest_run", *arguments, **variables)
        return Run(done.returncode, done.stdout, done.stderr, json.loads(outcome.read_text()), output)

    return once


def test_a_project_without_tests_skips_the_stage_where_it_may(start: Start) -> None:
    done = start({"data.csv": "x,y\n1,2\n"}, "--optional")
    assert (done.code, done.outcome["status"], done.outcome["message"]) == (
        0,
        "skipped",
        "no tests were found",
    )


def test_tests_that_pass(start: Start) -> None:
    done = start({"src/mine.py": MODULE, "tests/test_mine.py": PASSING + SKIPPED})
    assert done.code == 0, done.stderr
    details = done.outcome["details"]
    coverage = details.pop("coverage")
    assert details == {"passed": 1, "failed": 0, "skipped": 1, "failures": []}
    assert coverage == 75  # three of four statements; the tests themselves do not count
    assert done.stdout.endswith("1 passed, 1 skipped, coverage 75.0 %\n")
    assert {path.name for path in done.output.iterdir()} >= {"junit.xml", "coverage.json"}


def test_a_test_that_fails(start: Start) -> None:
    done = start({"src/mine.py": MODULE, "tests/test_mine.py": PASSING + FAILING})
    assert done.code == 1
    cause = "1 of 2 tests failed: tests.test_mine::test_the_impossible"
    assert done.outcome["message"] == cause
    assert done.outcome["details"]["failures"] == ["tests.test_mine::test_the_impossible"]
    assert done.stderr.endswith(f"test: {cause}; run pytest in the project and fix them\n")
    assert (done.output / "junit.xml").exists(), "the report shows it"


@pytest.mark.parametrize("files", [{"src/mine.py": MODULE}, {"tests/test_mine.py": "ANSWER = 42\n"}])
def test_a_project_without_tests(start: Start, files: dict[str, str]) -> None:
    done = start(files)
    assert (done.code, done.outcome["message"]) == (1, "no tests were found")
    assert done.outcome["hint"] == "add test_*.py files under tests/"


def test_a_test_file_that_cannot_be_imported(start: Start) -> None:
    done = start({"tests/test_mine.py": "import no_such_module\n"})
    assert done.code == 1
    assert done.outcome["message"] == "1 of 1 tests failed: tests.test_mine"


def test_pytest_that_is_killed(start: Start) -> None:
    kill = "import os\n\n\ndef test_kill():\n    os.kill(os.getpid(), 9)\n"
    done = start({"tests/test_kill.py": kill})
    assert (done.code, done.outcome["message"]) == (1, "pytest was killed by signal 9")
    assert done.outcome["details"] == {"passed": 0, "failed": 0, "skipped": 0, "failures": []}


def test_pytest_settings_that_are_wrong(start: Start) -> None:
    done = start({"pytest.ini": "[pytest]\naddopts = --no-such-option\n", "tests/test_mine.py": PASSING})
    assert (done.code, done.outcome["message"]) == (1, "pytest exited with code 4")
    assert "unrecognized arguments: --no-such-option" in done.stderr


def test_results_of_a_junit_file(tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    assert read_results(junit) == Results(0, 0, ())
    junit.write_text(
        '<testsuites><testsuite><testcase classname="tests.a" name="passes"/>'
        '<testcase classname="tests.a" name="fails"><failure/></testcase>'
        '<testcase name="broken"><error/></testcase>'
        '<testcase classname="tests.a" name="later"><skipped/></testcase></testsuite></testsuites>'
    )
    results = read_results(junit)
    assert results == Results(1, 1, ("tests.a::fails", "broken"))
    assert results.total == 4
    assert results.details() == {
        "passed": 1,
        "failed": 2,
        "skipped": 1,
        "failures": ["tests.a::fails", "broken"],
    }


@pytest.mark.parametrize(
    ("code", "results", "cause"),
    [
        (5, Results(0, 0, ()), "no tests were found"),
        (1, Results(3, 0, ("a",)), "1 of 4 tests failed: a"),
        (1, Results(3, 1, ("a", "b", "c")), "3 of 7 tests failed: a and 2 more"),
        (-9, Results(0, 0, ()), "pytest was killed by signal 9"),
        (3, Results(0, 0, ()), "pytest exited with code 3"),
    ],
)
def test_the_cause_of_a_failure(code: int, results: Results, cause: str) -> None:
    assert failure(code, results)[0] == cause
