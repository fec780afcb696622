"""How fast a model is, measured before it serves: how many rows one run takes, and on which thread."""

import time
from dataclasses import dataclass

from ml_pipeline.model.loaded import Model, Rows, join

BATCH = 64  # rows at most in one run; beyond that a run on a CPU costs by the row
QUICK = 0.001  # seconds; a switch to another thread costs much of that, and no caller notices them
UNHURRIED = 0.002  # seconds that a run may take, however fast a single row is
TWICE = 2.5  # twice as long, and a tolerance: no two runs take the same time
ENOUGH = 0.2  # seconds for measuring: a start takes about one


@dataclass(frozen=True)
class Pace:
    """One run takes `rows` in `seconds`; `inline`: it is so fast that the event loop itself does it."""

    rows: int
    inline: bool
    seconds: float


def measure(model: Model) -> Pace:
    """Run the model's example in batches of 1, 2, 4, … rows, until one takes twice as long as a single row.

    If the time grows with the rows, a large batch gains nothing, and each caller waits for the others. How
    long a project's own predictor takes depends on the rows, so the event loop never runs it.
    """
    example = model.read([model.signature.example])
    started = time.perf_counter()
    one = seconds = _seconds(model, 1, example)
    rows = 1
    while rows < BATCH and time.perf_counter() - started < ENOUGH:
        took = _seconds(model, rows * 2, example)
        if took > max(UNHURRIED, TWICE * one):
            break
        rows, seconds = rows * 2, took
    return Pace(rows, model.signature.runtime == "onnx" and rows == BATCH and seconds < QUICK, seconds)


def _seconds(model: Model, count: int, example: Rows) -> float:
    """Return the least time of three runs, or that of the first where it is long."""
    rows = join([example] * count)
    least = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        model.answer(rows)
        least = min(least, time.perf_counter() - started)
        if least > ENOUGH / 4:
            break
    return least
