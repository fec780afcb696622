"""The test stage as a program over small projects: how each kind of run ends, and what it reports."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_pipeline.checks import verdict
from ml_pipeline.checks.verdict import Evidence
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
        variables = {"ML_OUTCOME": str(outcome), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
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
    assert details == {
        "passed": 1, "failed": 0, "skipped": 1, "failures": [], "version": pytest.__version__,
    }  # fmt: skip
    assert coverage == 75  # three of four statements; the tests themselves do not count
    assert done.stdout.endswith("1 passed, 1 skipped, coverage 75.0 %\n")
    assert {path.name for path in done.output.iterdir()} >= {"junit.xml", "coverage.json"}


def test_a_test_that_fails(start: Start) -> None:
    done = start({"src/mine.py": MODULE, "tests/test_mine.py": PASSING + FAILING})
    assert done.code == 1
    cause = "1 of 2 tests failed: tests/test_mine.py::test_the_impossible (assert (1 + 1) == 3)"
    assert done.outcome["message"] == cause
    assert done.outcome["details"]["failures"] == ["tests/test_mine.py::test_the_impossible"]
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
    assert done.outcome["message"] == (
        "1 file of tests can't be collected: tests/test_mine.py "
        "(ModuleNotFoundError: No module named 'no_such_module')"
    )


EARLY = "pytest ended before its tests did"


@pytest.mark.parametrize(
    ("files", "cause"),
    [
        (
            {"tests/test_a.py": FAILING + "\n\ndef test_end():\n    import os\n    os._exit(0)\n"},
            "1 of 2 tests failed: tests/test_a.py::test_the_impossible (assert (1 + 1) == 3); " + EARLY,
        ),
        (
            {"tests/test_a.py": PASSING + "\n\ndef test_end():\n    import os\n    os._exit(0)\n"},
            f"{EARLY}: 1 of 2 tests had run",
        ),
        (
            {"conftest.py": "import sys\n\nsys.exit(0)\n", "tests/test_a.py": PASSING},
            f"{EARLY}, before it collected them",
        ),
        (
            {
                "tests/test_a.py": "import pytest\n\n" + PASSING + "\n\ndef test_end():\n"
                "    pytest.exit('enough', returncode=0)\n\n\ndef test_more():\n    pass\n"
            },
            f"{EARLY}: 1 of 3 tests had run",
        ),
        (
            {"pytest.ini": "[pytest]\naddopts = --collect-only\n", "tests/test_a.py": PASSING},
            "no test ran, of 1 test found",
        ),
        (
            {"tests/test_a.py": SKIPPED},
            "no test ran: all were skipped (tests/test_a.py::test_later: unconditional skip)",
        ),
        (
            {"tests/test_a.py": "import pytest\n\npytest.importorskip('no_such_module')\n" + FAILING},
            "no test ran: all were skipped (tests/test_a.py: could not import 'no_such_module': "
            "No module named 'no_such_module')",
        ),
        (
            {"tests/test_a.py": "import os\n\n\ndef test_kill():\n    os.kill(os.getpid(), 9)\n"},
            "pytest was killed by signal 9; 0 of 1 tests had run",
        ),
        (
            {"pytest.ini": "[pytest]\naddopts = --no-such-option\n", "tests/test_a.py": PASSING},
            "pytest exited with code 4",
        ),
    ],
    ids=["fails-exit", "exit", "conftest", "pytest.exit", "collect", "skip", "skip-all", "kill", "option"],
)
def test_a_run_that_is_no_evidence(start: Start, files: dict[str, str], cause: str) -> None:
    done = start({"src/mine.py": MODULE, **files}, "--optional")
    assert (done.code, done.outcome["status"], done.outcome["message"]) == (1, "failed", cause)


def test_a_process_that_a_test_forks_writes_no_evidence(start: Start) -> None:
    fork = "import os\n\n\ndef test_a():\n    if not os.fork():\n        raise SystemExit\n\n\n"
    done = start({"tests/test_a.py": fork + "def test_b():\n    os._exit(0)\n"})
    assert done.outcome["message"] == f"{EARLY}: 1 of 2 tests had run"


LEAST = "[tool.coverage.report]\nfail_under = 95\n"


@pytest.mark.parametrize(
    ("settings", "percent"),
    [
        ({"pytest.ini": "[pytest]\naddopts = -p xdist -n 2\n"}, 75),
        ({".coveragerc": "[run]\nsource = src\nomit = src/other.py\nparallel = true\n"}, 75),
        ({"setup.cfg": "[coverage:run]\nsource = src\nbranch = true\n"}, 60),
        ({"pytest.ini": "[pytest]\naddopts = --ff\ncache_dir = .cached\n"}, 75),
    ],
    ids=["xdist", "omit", "source", "cache"],
)
def test_coverage_is_that_of_the_project_s_settings(
    start: Start, settings: dict[str, str], percent: int
) -> None:
    other = {} if percent == 75 and ".coveragerc" not in settings else {"src/other.py": "A = 1\n"}
    done = start({"src/mine.py": MODULE, "tests/test_mine.py": PASSING, **other, **settings})
    assert done.code == 0, done.stderr
    assert done.outcome["details"]["coverage"] == percent


def test_less_coverage_than_the_project_asks_for(start: Start) -> None:
    done = start({"src/mine.py": MODULE, "tests/test_mine.py": PASSING, "pyproject.toml": LEAST})
    cause = "coverage is 75 %, and the project asks for 95 %"
    assert (done.code, done.outcome["message"]) == (1, cause)
    assert done.outcome["details"]["coverage"] == 75


def test_coverage_is_not_measured_where_that_is_not_wanted(start: Start) -> None:
    done = start(
        {"src/mine.py": MODULE, "tests/test_mine.py": PASSING, "pyproject.toml": LEAST}, "--no-coverage"
    )
    assert done.code == 0
    assert "coverage" not in done.outcome["details"]
    assert done.stdout.endswith("1 passed, 0 skipped, coverage not measured\n")


def _of(*outcomes: str, **changes: Any) -> Evidence:
    tests = {f"t{number}": outcome for number, outcome in enumerate(outcomes)}
    return Evidence(**{"collected": tuple(tests), "outcomes": tests, "ended": True} | changes)


@pytest.mark.parametrize(
    ("code", "evidence", "percent", "cause"),
    [
        (0, _of("passed", "skipped"), 10, None),
        (0, _of("xfailed"), None, None),
        (5, Evidence(ended=True), None, "no tests were found"),
        (1, _of("passed", "failed", reasons={"t1": "no"}), None, "1 of 2 tests failed: t1 (no)"),
        (0, _of("failed"), None, "1 of 1 tests failed: t0"),  # a hook changed the exit code
        (1, _of(*["failed"] * 7), None, "7 of 7 tests failed: t0, t1, t2, t3, t4 and 2 more"),
        (-9, Evidence(), None, "pytest was killed by signal 9"),
        (3, _of("passed"), None, "pytest exited with code 3"),
        (0, Evidence(), None, "pytest ended before its tests did, before it collected them"),
        (
            0,
            _of("passed", collected=("t0", "t1")),
            None,
            "pytest ended before its tests did: 1 of 2 tests had run",
        ),
        (
            1,
            _of("passed", coverage_below=95),
            75,
            "coverage is 75 %, and the project asks for 95 %",
        ),  # pytest-cov
        (1, _of("passed", coverage_below=70), 75, "pytest exited with code 1"),
    ],
)
def test_the_cause_of_a_failure(
    code: int, evidence: Evidence, percent: float | None, cause: str | None
) -> None:
    failed = verdict.failure(code, evidence, percent)
    assert (failed[0] if failed else None) == cause


def test_evidence_of_a_test_that_fails_after_it_passed_and_of_a_line_that_was_cut_off() -> None:
    lines = [
        json.dumps({"event": "collected", "tests": ["a", "b"]}),
        json.dumps({"event": "test", "id": "a", "outcome": "passed", "reason": ""}),
        json.dumps({"event": "test", "id": "a", "outcome": "failed", "reason": "teardown"}),
        '{"event": "test", "id": "b", "outc',
    ]
    evidence = verdict.read(lines)
    assert (evidence.failures, evidence.reasons["a"], evidence.ended) == (("a",), "teardown", False)
