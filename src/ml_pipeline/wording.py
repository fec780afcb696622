"""Numbers as people read them; pure, standard library only."""

import math
from collections.abc import Sequence


def shown(ends: Sequence[float] | None) -> str:
    """Return an interval as text that follows its value: " [0.8651, 0.8772]", or nothing."""
    return f" [{number(ends[0])}, {number(ends[1])}]" if ends and ends[0] != ends[1] else ""


def apart(value: float, bound: float) -> tuple[str, str]:
    """Return both as text, with more digits where four decimals would make them look equal."""
    texts = number(value), number(bound)
    return texts if texts[0] != texts[1] else (repr(value), repr(bound))


def number(value: float) -> str:
    """Return four decimals below a hundred and one above, without trailing zeros: 0.8612, 0.9, 12, 431.5."""
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"
    if float(text) == 0 and value != 0:
        return f"{value:.2g}"
    return text.rstrip("0").rstrip(".")
