"""How a stage says what came of it: one JSON document, one line, one exit code.

A stage that fails on its input (a schema violation, a failed test, a gate) raises
`StageFailure`; anything else that escapes is a defect and keeps its traceback.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

OUTCOME_VARIABLE = "ML_OUTCOME"  # a path; without it the outcome is only printed


class StageFailure(Exception):
    """The stage did its work, and the answer is no.

    `cause` says what is wrong, `hint` what to do about it; each is one line.
    `details` goes into the outcome as it would have on success.
    """

    def __init__(self, cause: str, hint: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.hint = hint
        self.details = details or {}


def run_stage(stage: str, body: Callable[[], dict[str, Any]]) -> None:
    """Run `body`, write its outcome, and end the process: 0 passed, 1 failed.

    `body` returns the outcome's details. Text for people belongs on stdout.
    """
    started, clock = time.time(), time.monotonic()
    outcome: dict[str, Any] = {"stage": stage, "status": "unfinished", "message": "", "hint": ""}
    outcome["started"] = started
    _write(outcome)  # what is left of a crash: when it was, and that it was one
    try:
        details = body()
        outcome["status"] = "passed"
    except StageFailure as failure:
        outcome |= {"status": "failed", "message": failure.cause, "hint": failure.hint}
        details = failure.details
        print(f"{stage}: {failure.cause}; {failure.hint}", file=sys.stderr)
    _write(outcome | {"seconds": time.monotonic() - clock, "details": details})
    sys.exit(0 if outcome["status"] == "passed" else 1)


def _write(outcome: dict[str, Any]) -> None:
    if path := os.environ.get(OUTCOME_VARIABLE):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(outcome, indent=1))
