"""How fast a model is, found out before it serves: how many rows it is given at once, and on which thread."""

import time
from dataclasses import dataclass

from ml_pipeline.model.loaded import Model, Rows, join

BATCH = 64  # rows at most in one run; beyond that a run on a CPU costs by the row
QUICK = 0.001  # seconds: what a thread's switch costs is much of this, and no caller notices this
UNHURRIED = 0.002  # seconds that a run may take however fast a single row is
TWICE = 2.5  # and a half: no two runs are alike
ENOUGH = 0.2  # seconds for finding out: a start takes one


@dataclass(frozen=True)
class Pace:
    """`rows` are run at once, in `seconds`; `inline`: so fast that the event loop does it itself."""

    rows: int
    inline: bool
    seconds: float


def measure(model: Model) -> Pace:
    """Run the model's example in batches of 1, 2, 4, … rows, until one takes twice as long as a single row.

    Where rows cost what requests cost, a batch of many gains nothing, and each caller waits for the
    others. How long a predictor of the project's own takes depends on what it is asked, so the event
    loop never runs it.
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
    """The least of three runs, or the first where that is long."""
    rows = join([example] * count)
    least = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        model.answer(rows)
        least = min(least, time.perf_counter() - started)
        if least > ENOUGH / 4:
            break
    return least
