"""Style and formatting with ruff, also with the older versions that a project may pin."""

import json
import re
from pathlib import Path

from ml_pipeline.checks.tools import Report, run, unable, version
from ml_pipeline.common.lines import one_line

_SUMMARY = re.compile(r"^\d+ files? (?:already formatted|would be reformatted|left unchanged)", re.MULTILINE)
_NOTHING = "No Python files found"
# Of a file: what newer versions print (the message, then its place), and what older ones do.
_BLOCK = re.compile(r"^([a-z-]+): (.+)\n\s*--> ([^\n:]+):(\d+)", re.MULTILINE)
_OLDER = re.compile(r"^Would reformat: (.+)$", re.MULTILINE)
_UNREAD = re.compile(r"^error: (Failed to .+)$", re.MULTILINE)


def style(source: Path) -> Report:
    """Return the findings of ruff check. Raises StageFailure."""
    release = version("ruff", source)
    for option in ("--output-format=json", "--format=json"):  # the second is that of versions before 0.0.291
        ended = run(["ruff", "check", "--no-cache", option, "."], source)
        if "unexpected argument" not in ended.stderr:
            break
    if not ended.stdout.strip() and ended.returncode == 0 and _NOTHING in ended.stderr:
        return Report("ruff check", release, ())
    try:
        findings = json.loads(ended.stdout)
    except ValueError:
        raise unable("ruff", ended) from None
    if not findings and ended.returncode:
        raise unable("ruff", ended)
    return Report("ruff check", release, tuple(_finding(each, source.resolve()) for each in findings))


def formatting(source: Path) -> Report | None:
    """Return the files that ruff would format, and those that it can't read; None if it is too old for that.

    Raises StageFailure.
    """
    release = version("ruff", source)
    ended = run(["ruff", "format", "--check", "--no-cache", "."], source)
    if "unrecognized subcommand" in ended.stderr:
        return None
    findings = [
        f"{path}:{row}: {kind} {message}" for kind, message, path, row in _BLOCK.findall(ended.stdout)
    ]
    findings += [f"{path}: would be reformatted" for path in _OLDER.findall(ended.stdout)]
    findings += [one_line(message) for message in _UNREAD.findall(ended.stderr)]
    ruled = _SUMMARY.search(ended.stdout) or _NOTHING in ended.stderr
    if not findings and (ended.returncode or not ruled):
        raise unable("ruff", ended)
    return Report("ruff format", release, tuple(findings))


def _finding(finding: dict[str, object], root: Path) -> str:
    place, name = finding.get("location"), Path(str(finding["filename"]))
    row = f":{place['row']}" if isinstance(place, dict) else ""  # a file that can't be read has none
    path = name.relative_to(root) if name.is_relative_to(root) else name
    return f"{path}{row}: {finding.get('code') or 'error'} {one_line(finding['message'])}"
