"""Run a project's own tests: pytest with coverage, and a JUnit file."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import OUTCOME_VARIABLE, STAGE_VARIABLE, StageFailure, StageSkipped, run_stage

OWN_VARIABLES = {OUTCOME_VARIABLE, STAGE_VARIABLE}  # the project may have stages of its own
NO_TESTS = 5  # pytest's exit code
NONE = "no tests were found"


@dataclass(frozen=True)
class Results:
    """How the tests ended."""

    passed: int
    skipped: int
    failures: tuple[str, ...]  # the names of those that failed

    @property
    def total(self) -> int:
        """The number of all tests."""
        return self.passed + self.skipped + len(self.failures)

    def details(self) -> dict[str, object]:
        """Return the stage's details."""
        return {
            "passed": self.passed,
            "failed": len(self.failures),
            "skipped": self.skipped,
            "failures": list(self.failures),
        }


def main() -> NoReturn:
    """Run the test stage on the command line's arguments."""
    parser = command_line.parser("checks.pytest_run", __doc__)
    parser.add_argument("--source", type=Path, required=True, help="the project's folder")
    parser.add_argument(
        "--output", type=Path, required=True, help="the folder for junit.xml and coverage.json"
    )
    parser.add_argument(
        "--optional",
        action="store_true",
        help="skip the stage if the project has no tests, instead of failing",
    )
    options = parser.parse_args()
    run_stage("test", lambda: test(options.source, options.output, optional=options.optional))


def test(source: Path, output: Path, *, optional: bool = False) -> dict[str, object]:
    """Return numbers of tests and the coverage in percent. Raises StageFailure unless all tests passed.

    If there are no tests and they are `optional`, raises StageSkipped.
    """
    output.mkdir(parents=True, exist_ok=True)
    junit, coverage = output / "junit.xml", output / "coverage.json"
    environment = {key: value for key, value in os.environ.items() if key not in OWN_VARIABLES}
    environment["COVERAGE_FILE"] = str(output / ".coverage")
    # The project's packages can be imported whether or not they are installed, as on a developer's machine.
    environment["PYTHONPATH"] = f"{source / 'src'}:{source}"
    run = [sys.executable, "-m", "coverage", "run", "--source=.", "--omit=tests/*,test_*.py"]
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={junit}"]
    code = subprocess.run([*run, *pytest], cwd=source, env=environment, check=False).returncode
    results = read_results(junit)
    if code == NO_TESTS and optional:
        raise StageSkipped(NONE)
    if code:
        raise StageFailure(*failure(code, results), results.details())
    details = results.details()
    report = [sys.executable, "-m", "coverage", "json", "-q", "-o", str(coverage)]
    if subprocess.run(report, cwd=source, env=environment, check=False).returncode == 0:
        details["coverage"] = round(json.loads(coverage.read_text())["totals"]["percent_covered"], 1)
    percent = f"{details['coverage']} %" if "coverage" in details else "not measured"
    print(f"{results.passed} passed, {results.skipped} skipped, coverage {percent}")
    return details


def read_results(junit: Path) -> Results:
    """Return the results in a JUnit file; all are 0 if there is no file."""
    if not junit.exists():
        return Results(0, 0, ())
    cases = list(ET.parse(junit).iter("testcase"))  # noqa: S314 - pytest has just written it
    failures = tuple(
        f"{case.get('classname', '')}::{case.get('name', '')}".removeprefix("::")
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    )
    skipped = sum(case.find("skipped") is not None for case in cases)
    return Results(len(cases) - len(failures) - skipped, skipped, failures)


def failure(code: int, results: Results) -> tuple[str, str]:
    """Return the cause and the hint of a run that exited with another code than 0."""
    if code == NO_TESTS:
        return NONE, "add test_*.py files under tests/"
    if results.failures:
        first, *others = results.failures
        more = f" and {len(others)} more" if others else ""
        cause = f"{len(results.failures)} of {results.total} tests failed: {first}{more}"
        return cause, "run pytest in the project and fix them"
    if code < 0:
        return f"pytest was killed by signal {-code}", "give the engine more memory, or the tests less data"
    return f"pytest exited with code {code}", "read its output above"


if __name__ == "__main__":
    main()
