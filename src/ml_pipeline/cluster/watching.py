"""The loop that waits for pods: looks until they are done, or until a failure has lasted too long."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from ml_pipeline.cluster.errors import Unreachable
from ml_pipeline.cluster.pods import Failed, Progressing
from ml_pipeline.common.outcome import StageFailure

R = TypeVar("R")


class Logs(Protocol):
    """Reads what pods wrote."""

    def last_log_line(self, pod: str) -> str:
        """Return the last line of a pod's log, "" where there is none."""


def watch(
    logs: Logs,
    look: Callable[[float], Progressing | Failed | R],
    *,
    poll_s: float,
    blind_s: float,
    prefix: str = "",
) -> R:
    """Look every `poll_s` seconds until `look` returns a result, and return that; print the progress.

    `look` gets the seconds since the start. A `Failed` counts when it has lasted for its `patience_s`:
    failures with the same hint are the same one, for causes count nodes and pods, which change. The loop
    waits `blind_s` seconds for an API server that can't be reached: it may restart. Raises StageFailure.
    """
    started = seen = since = time.monotonic()
    trouble = progress = ""
    while True:
        now = time.monotonic()
        try:
            state = look(now - started)
        except Unreachable:
            if now - seen > blind_s:
                raise
            time.sleep(poll_s)
            continue
        seen = now
        if isinstance(state, Failed):
            if state.hint != trouble:
                trouble, since = state.hint, now
            if now - since >= state.patience_s:
                raise _failure(state, logs)
        elif isinstance(state, Progressing):
            trouble = ""
            if state.text != progress:
                progress = state.text
                print(f"{prefix}{progress}", flush=True)
        else:
            return state
        time.sleep(poll_s)


def _failure(failed: Failed, logs: Logs) -> StageFailure:
    line = logs.last_log_line(failed.pod) if failed.pod else ""
    return StageFailure(f"{failed.cause} (its last line: {line})" if line else failed.cause, failed.hint)
