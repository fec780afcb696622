"""Numbers and devices as people read them; pure, standard library only."""

import math
from collections import Counter
from collections.abc import Sequence

from ml_pipeline.common.verdict import Difference


def shown(ends: Sequence[float | None] | None) -> str:
    """Return an interval as text that follows its value: " [0.8651, 0.8772]", or nothing."""
    low, high = ends or (None, None)
    if low is None or high is None or low == high:
        return ""
    return f" [{number(low)}, {number(high)}]"


def difference(change: Difference | None) -> str:
    """Return a verdict's difference to the baseline: "+0.0012 [-0.002, 0.0044]", or nothing."""
    if not change or change["value"] is None:
        return ""
    sign = "+" if change["value"] > 0 else ""
    return f"{sign}{number(change['value'])}{shown(change['interval'])}"


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


def device(kind: str, gpus: Sequence[str]) -> str:
    """Return cpu or cuda, with the names of its GPUs: "cuda (2x NVIDIA H200)"."""
    counted = Counter(gpus).items()
    names = ", ".join(f"{count}x {name}" if count > 1 else name for name, count in counted)
    return f"{kind} ({names})" if names else kind
