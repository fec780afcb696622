"""Run a project's own tests: pytest with coverage, and a JUnit file."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ml_pipeline.checks import evidence, verdict
from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import OUTCOME_VARIABLE, STAGE_VARIABLE, StageFailure, StageSkipped, run_stage

PLUGIN = "ml_pipeline_evidence"  # a name that no project has
TOO_LITTLE = 2  # exit code of coverage: less than fail_under


@dataclass(frozen=True)
class Coverage:
    """How much of the code the tests ran; `percent` is None if nothing was measured."""

    percent: float | None = None
    too_little: bool = False  # for the project's own settings

    @property
    def text(self) -> str:
        """Return it for people."""
        return "not measured" if self.percent is None else f"{self.percent} %"


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
    parser.add_argument("--no-coverage", action="store_true", help="do not measure coverage")
    options = parser.parse_args()
    run_stage(
        "test",
        lambda: test(
            options.source, options.output, optional=options.optional, measured=not options.no_coverage
        ),
    )


def test(source: Path, output: Path, *, optional: bool = False, measured: bool = True) -> dict[str, object]:
    """Return numbers of tests and the coverage in percent. Raises StageFailure unless all tests passed.

    If there are no tests and they are `optional`, raises StageSkipped.
    """
    output.mkdir(parents=True, exist_ok=True)
    own = {OUTCOME_VARIABLE, STAGE_VARIABLE, evidence.WORKER}  # the project may have stages of its own
    environment = {key: value for key, value in os.environ.items() if key not in own}
    environment["COVERAGE_FILE"] = str(output.absolute() / ".coverage")
    environment[evidence.COVERAGE] = "1" if measured else "0"
    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(folder) / f"{PLUGIN}.py"
        shutil.copyfile(evidence.__file__, plugin)
        # The project's packages can be imported also if they are not installed, as on a developer's machine.
        environment["PYTHONPATH"] = f"{source / 'src'}:{source}:{folder}"
        pytest = ["-q", "-p", PLUGIN, f"--junitxml={output.absolute() / 'junit.xml'}"]
        code = _run(["pytest", *pytest], source, environment)
        lines = plugin.with_name(evidence.FILE)
        results = verdict.read(lines.read_text().splitlines() if lines.exists() else ())
    if optional and verdict.nothing_to_run(code, results):
        raise StageSkipped(verdict.NONE)
    coverage = _coverage(source, output, environment) if measured and results.ended else Coverage()
    details = results.details()
    if coverage.percent is not None:
        details["coverage"] = coverage.percent
    failure = verdict.failure(code, results, coverage.percent)
    if not failure and coverage.too_little and coverage.percent is not None:
        failure = verdict.below(coverage.percent, results.coverage_below or 0)
    if failure:
        raise StageFailure(*failure, details)
    why = f" ({results.unmeasured})" if results.unmeasured else ""
    print(f"{results.passed} passed, {results.skipped} skipped, coverage {coverage.text}{why}")
    return details


def _coverage(source: Path, output: Path, environment: Mapping[str, str]) -> Coverage:
    """Write coverage.json and return what it says; each process of the tests has left a file."""
    document = output.absolute() / "coverage.json"
    if any(output.glob(".coverage.*")):
        _run(["coverage", "combine", "--append", "-q"], source, environment)
    code = _run(["coverage", "json", "-q", "-o", str(document)], source, environment)
    if code not in {0, TOO_LITTLE} or not document.exists():
        return Coverage()
    totals = json.loads(document.read_text())["totals"]
    if not totals["covered_lines"]:  # the tests ran, but not where it was measured
        return Coverage()
    return Coverage(round(totals["percent_covered"], 1), code == TOO_LITTLE)


def _run(command: list[str], source: Path, environment: Mapping[str, str]) -> int:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=source, env=environment, check=False
    ).returncode


if __name__ == "__main__":
    main()
