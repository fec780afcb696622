"""Types with mypy, whose own last line is the verdict: it may end with any exit code, or none of its own."""

import re
from pathlib import Path

from ml_pipeline.checks.tools import Report, run, unable, version

_VERDICT = re.compile(r"^(?:Success: no issues found in \d+ |Found \d+ errors? in \d+ )", re.MULTILINE)
_FINDING = re.compile(r"^\S.*?: error: .+$", re.MULTILINE)
OPTIONS = ("--no-incremental", "--hide-error-context", "--no-pretty", "--no-color-output", "--error-summary")


def types(source: Path) -> Report:
    """Return mypy's errors. Raises StageFailure."""
    release = version("mypy", source)
    ended = run(["mypy", *OPTIONS], source)
    if ended.returncode == 2 and "Missing target module" in ended.stderr:
        ended = run(["mypy", *OPTIONS, "."], source)
    if "There are no .py[i] files" in ended.stdout + ended.stderr:
        return Report("mypy", release, ())
    findings = tuple(_FINDING.findall(ended.stdout))
    ruled = _VERDICT.search(ended.stdout)
    if not ruled or ended.returncode not in {0, 1, 2} or bool(findings) != bool(ended.returncode):
        raise unable("mypy", ended)
    return Report("mypy", release, findings)
