"""How many rows would decide a gate that lacks evidence. Standard library only."""

import math

MOST = 10_000.0  # times as many rows; beyond it the bound is where the metric is, and no holdout decides


def times(gap: float, margin: float) -> float | None:
    """Return how many times as many rows would decide, or None where hardly any number would.

    `gap` is how far the value is from the bound, `margin` how far the interval reaches to the bound's side.
    The interval of n times as many rows is √n times as narrow.
    """
    if gap == 0 or not math.isfinite(margin):
        return None
    factor = (margin / gap) ** 2
    return factor if 1 < factor <= MOST else None


def sentence(factor: float | None, rows: int | None) -> str:
    """Return the sentence's end: of `rows` rows, or if None only how many times as many."""
    if factor is None:
        return ""
    if rows is None:
        return f"; about {math.ceil(round(factor, 6))} times as many rows would decide this"
    exact = round(factor * rows, 6)
    step = 10 ** max(math.floor(math.log10(exact)) - 1, 0)
    return f"; about {math.ceil(exact / step) * step:,} rows would decide this"
