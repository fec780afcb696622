"""Check a project's code: style and formatting with ruff, and types with mypy if it is configured.

A verdict is what a tool said, not its exit code: a tool that died has found nothing.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ml_pipeline.checks import mypy, ruff
from ml_pipeline.checks.tools import Report
from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import StageFailure, run_stage

HINT = "run `ruff check --fix` and `ruff format`, and fix what remains"
REQUIRED = {"yes": True, "no": False, "configured": None}


def main() -> NoReturn:
    """Run the lint stage on the command line's arguments."""
    parser = command_line.parser("checks.lint", __doc__)
    parser.add_argument("--source", type=Path, required=True, help="the project's folder")
    parser.add_argument(
        "--required",
        choices=REQUIRED,
        default="configured",
        help="whether findings fail the stage; configured: those of tools that the project configures",
    )
    options = parser.parse_args()
    run_stage("lint", lambda: lint(options.source, REQUIRED[options.required]))


def lint(source: Path, required: bool | None = None) -> dict[str, object]:
    """Return the tools that ran, with their versions and numbers of findings.

    Raises StageFailure for findings that are `required` to be none; None: those of configured tools.
    """
    formatted = ruff.formatting(source)
    reports = [ruff.style(source), *([formatted] if formatted else [])]
    if configures_mypy(source):
        reports.append(mypy.types(source))
    for report in reports:
        print(f"{report.tool} {report.version}: {_count(len(report.findings))}")
        for finding in report.findings:
            print(f"  {finding}")
    details: dict[str, object] = {
        "versions": {report.tool: report.version for report in reports},
        "findings": {report.tool: len(report.findings) for report in reports},
    }
    failed = [report for report in reports if report.findings]
    blocking = [report for report in failed if _blocks(report.tool, source, required)]
    if blocking:
        raise StageFailure(f"findings: {_summary(blocking)}", HINT, details)
    if failed:
        why = "lint.required = false" if required is False else "the project does not configure it"
        details["warning"] = f"{_summary(failed)} (a warning: {why})"
        print(f"warning: {details['warning']}")
    return details


def _blocks(tool: str, source: Path, required: bool | None) -> bool:
    if required is not None:
        return required
    if tool == "mypy":
        return True  # it runs only where it is configured
    if tool == "ruff format" and "black" in _tools(source):
        return False  # its author formats with another tool
    return configures_ruff(source)


def configures_ruff(source: Path) -> bool:
    """Return whether one of ruff's own configuration files has settings for it."""
    return any((source / name).exists() for name in ("ruff.toml", ".ruff.toml")) or "ruff" in _tools(source)


def configures_mypy(source: Path) -> bool:
    """Return whether one of mypy's own configuration files has settings for it."""
    if any((source / name).exists() for name in ("mypy.ini", ".mypy.ini")):
        return True
    setup = source / "setup.cfg"
    if setup.exists() and "[mypy]" in setup.read_text(errors="replace"):
        return True
    return "mypy" in _tools(source)


def _tools(source: Path) -> dict[str, object]:
    """Return the [tool] table of pyproject.toml. Raises StageFailure if that is not TOML."""
    path = source / "pyproject.toml"
    if not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except ValueError as error:
        raise StageFailure(f"pyproject.toml is not TOML: {error}", "fix that line") from None
    return table if isinstance(table, dict) else {}


def _summary(reports: Sequence[Report]) -> str:
    counts = ", ".join(f"{len(report.findings)} by {report.tool}" for report in reports)
    return f"{counts}; the first: {reports[0].findings[0]}"


def _count(number: int) -> str:
    return f"{number or 'no'} finding{'' if number == 1 else 's'}"


if __name__ == "__main__":
    main()
