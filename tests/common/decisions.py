"""One gate's decision, and an interval around a value."""

from ml_pipeline.common.gates import Gate, Interval, Measured
from ml_pipeline.common.rules import Decision, decide


def only(gate: Gate, measured: dict[str, Measured], missing: dict[str, str] | None = None) -> Decision:
    (decision,) = decide([gate], measured, missing)
    return decision


def around(value: float, margin: float) -> Interval:
    """An interval of `margin` on both sides at 95 %, and half as much again at a higher confidence."""
    return lambda level: (
        value - margin * (1 + (level > 0.95) / 2),
        value + margin * (1 + (level > 0.95) / 2),
    )
