"""The project's own tests: pytest under coverage, with a JUnit file."""

import argparse
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from ml_pipeline.common.outcome import OUTCOME_VARIABLE, STAGE_VARIABLE, StageFailure, run_stage

OWN_VARIABLES = {OUTCOME_VARIABLE, STAGE_VARIABLE}  # the project may have stages of its own
NO_TESTS = 5  # pytest's exit code


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ml_pipeline.checks.pytest_run", description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="the project's folder")
    parser.add_argument(
        "--output", type=Path, required=True, help="the folder for junit.xml and coverage.json"
    )
    options = parser.parse_args()
    run_stage("test", lambda: test(options.source, options.output))


def test(source: Path, output: Path) -> dict[str, Any]:
    """Return counts and coverage of a run in which every test passed; raise StageFailure otherwise."""
    output.mkdir(parents=True, exist_ok=True)
    junit, coverage = output / "junit.xml", output / "coverage.json"
    environment = {key: value for key, value in os.environ.items() if key not in OWN_VARIABLES}
    environment["COVERAGE_FILE"] = str(output / ".coverage")
    # The project's packages, installed or not, are importable as they are on its author's machine.
    environment["PYTHONPATH"] = f"{source / 'src'}:{source}"
    run = [sys.executable, "-m", "coverage", "run", "--source=.", "--omit=tests/*,test_*.py"]
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={junit}"]
    code = subprocess.run([*run, *pytest], cwd=source, env=environment, check=False).returncode
    if code == NO_TESTS:
        raise StageFailure("no tests were found", "add test_*.py files under tests/", counts(junit))
    details = counts(junit)
    if code:
        raise StageFailure(*_verdict(code, details), details)
    report = [sys.executable, "-m", "coverage", "json", "-q", "-o", str(coverage)]
    if subprocess.run(report, cwd=source, env=environment, check=False).returncode == 0:
        details["coverage"] = round(json.loads(coverage.read_text())["totals"]["percent_covered"], 1)
    covered = f"{details['coverage']} %" if "coverage" in details else "not measured"
    print(f"{details['passed']} passed, {details['skipped']} skipped, coverage {covered}")
    return details


def counts(junit: Path) -> dict[str, Any]:
    """Read the numbers of tests, and the names of those that failed, from a JUnit file."""
    if not junit.exists():
        return {"passed": 0, "failed": 0, "skipped": 0, "failures": []}
    cases = list(ET.parse(junit).iter("testcase"))  # noqa: S314 - written by pytest a moment ago
    failures = [
        f"{case.get('classname', '')}::{case.get('name', '')}".removeprefix("::")
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - len(failures) - skipped
    return {"passed": passed, "failed": len(failures), "skipped": skipped, "failures": failures}


def _verdict(code: int, details: dict[str, Any]) -> tuple[str, str]:
    failures = details["failures"]
    if failures:
        others = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
        total = details["passed"] + details["failed"] + details["skipped"]
        cause = f"{len(failures)} of {total} tests failed: {failures[0]}{others}"
        return cause, "run pytest in the project and mend them"
    if code < 0:
        return f"pytest was killed by signal {-code}", "give the engine more memory, or the tests less"
    return f"pytest ended with exit code {code}", "read its output above"


if __name__ == "__main__":
    main()
