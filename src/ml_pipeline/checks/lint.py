"""Check a project's code: style and formatting with ruff, and types with mypy if it is configured."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ml_pipeline.common import command_line
from ml_pipeline.common.lines import last_line
from ml_pipeline.common.outcome import StageFailure, run_stage


def main() -> NoReturn:
    """Run the lint stage on the command line's arguments."""
    parser = command_line.parser("checks.lint", __doc__)
    parser.add_argument("--source", type=Path, required=True, help="the project's folder")
    options = parser.parse_args()
    run_stage("lint", lambda: lint(options.source))


def lint(source: Path) -> dict[str, object]:
    """Return the tools that ran, with their numbers of findings: all 0. Raises StageFailure for findings."""
    tools = {"ruff check": style(source), "ruff format": formatting(source)}
    if configures_mypy(source):
        tools["mypy"] = types(source)
    details: dict[str, object] = {tool: len(findings) for tool, findings in tools.items()}
    for tool, findings in tools.items():
        print(f"{tool}: {len(findings) or 'no'} finding{'' if len(findings) == 1 else 's'}")
        for finding in findings:
            print(f"  {finding}")
    failed = {tool: findings for tool, findings in tools.items() if findings}
    if failed:
        first = next(iter(failed.values()))[0]
        counts = ", ".join(f"{len(findings)} by {tool}" for tool, findings in failed.items())
        hint = "run `ruff check --fix` and `ruff format`, and fix what remains"
        raise StageFailure(f"findings: {counts}; the first: {first}", hint, details)
    return details


def style(source: Path) -> list[str]:
    """Return the findings of ruff check, one line each. Raises StageFailure."""
    return _ruff(["check"], source)


def formatting(source: Path) -> list[str]:
    """Return the files that ruff would format, one line each. Raises StageFailure."""
    return _ruff(["format", "--check"], source)


def _ruff(command: Sequence[str], source: Path) -> list[str]:
    result = _run(["ruff", *command, "--no-cache", "--output-format=json", "."], source)
    if result.returncode == 0:
        return []  # without Python files, ruff prints no document
    try:
        findings = json.loads(result.stdout)
    except ValueError:
        cause = f"ruff can't run: {last_line(result.stderr) or 'it printed nothing'}"
        raise StageFailure(cause, "correct the project's ruff settings") from None
    root = source.resolve()
    return [
        f"{Path(f['filename']).relative_to(root)}:{f['location']['row']}: {f['code']} {f['message']}"
        for f in findings
    ]


def configures_mypy(source: Path) -> bool:
    """Return whether one of mypy's own configuration files has settings for it."""
    if any((source / name).exists() for name in ("mypy.ini", ".mypy.ini")):
        return True
    setup, pyproject = source / "setup.cfg", source / "pyproject.toml"
    if setup.exists() and "[mypy]" in setup.read_text():
        return True
    return pyproject.exists() and "mypy" in tomllib.loads(pyproject.read_text()).get("tool", {})


def types(source: Path) -> list[str]:
    """Return mypy's errors, one line each. Raises StageFailure."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-incremental", "--hide-error-context"]
    result = _run(command, source)
    if result.returncode == 2 and "Missing target module" in result.stderr:
        result = _run([*command, "."], source)
    if result.returncode not in {0, 1}:
        cause = last_line(result.stderr or result.stdout) or "it printed nothing"
        raise StageFailure(f"mypy can't run: {cause}", "correct the project's mypy settings")
    return [line for line in result.stdout.splitlines() if ": error:" in line]


def _run(command: Sequence[str], source: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
