"""How a stage's program ends: one JSON document, one line for people, one exit code.

A stage that fails on its input (a schema violation, a failed test, a gate) raises `StageFailure`; any other
exception is a defect and keeps its traceback. What is shown has no secrets: see `redaction`.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from ml_pipeline.common.redaction import is_needed, redacted

OUTCOME_VARIABLE = "ML_OUTCOME"  # the path of the document; without it only the line is printed
STAGE_VARIABLE = "ML_STAGE"  # the stage's name in the pipeline; without it the program's own


class StageFailure(Exception):
    """The stage did its work, and the answer is no.

    `cause` says what is wrong, `hint` what to do about it; each is one line.
    `details` goes into the outcome as it would have on success.
    """

    def __init__(self, cause: str, hint: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.hint = hint
        self.details = details or {}


class StageSkipped(Exception):
    """The stage has nothing to do; the text says why, in a few words."""


def run_stage(name: str, body: Callable[[], Mapping[str, object]]) -> NoReturn:
    """Run `body`, write its outcome, and end the process: 0 passed or skipped, 1 failed.

    `body` returns the outcome's details. `name` is for a run by hand: the pipeline gives its own. Text for
    people belongs on stdout.
    """
    started = time.time()
    name = os.environ.get(STAGE_VARIABLE) or name
    outcome: dict[str, object] = {"stage": name, "status": "unfinished", "message": "", "hint": ""}
    outcome["started"] = started
    _write(outcome)  # after a crash this is left: it says when the stage began, and that it did not end
    try:
        details = body()
        outcome["status"] = "passed"
    except StageSkipped as reason:
        outcome |= {"status": "skipped", "message": str(reason)}
        details = {}
        print(f"skipped: {reason}")
    except StageFailure as failure:
        cause, hint = redacted(failure.cause), redacted(failure.hint)
        outcome |= {"status": "failed", "message": cause, "hint": hint}
        details = failure.details
        print(f"{name}: {cause}; {hint}", file=sys.stderr)
    except Exception:
        if not is_needed():
            raise
        print(redacted(traceback.format_exc()), end="", file=sys.stderr)
        sys.exit(1)
    _write(outcome | {"seconds": _process_seconds(started), "details": details})
    sys.exit(1 if outcome["status"] == "failed" else 0)


def _process_seconds(started: float) -> float:
    """Return how long this process has run, its imports included; without /proc, the time since `started`."""
    try:
        # The name in the second field may hold spaces, and ends in the last parenthesis.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # seconds after the machine's start: see proc(5)
        return time.clock_gettime(time.CLOCK_BOOTTIME) - start
    except (OSError, ValueError, IndexError, AttributeError):
        return time.time() - started


def _write(outcome: Mapping[str, object]) -> None:
    if path := os.environ.get(OUTCOME_VARIABLE):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(outcome, indent=1))
