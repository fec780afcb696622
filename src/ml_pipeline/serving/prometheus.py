"""The text format that Prometheus reads (version 0.0.4)."""

from collections.abc import Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def head(name: str, type_: str, help_: str) -> list[str]:
    """Return the lines that describe a metric."""
    return [f"# HELP {name} {help_}", f"# TYPE {name} {type_}"]


def histogram(
    name: str, help_: str, bounds: Sequence[float], counts: Sequence[int], sum_: float
) -> list[str]:
    """Return a histogram's lines. `counts` has one more entry than `bounds`, for values above the last."""
    lines, total = head(name, "histogram", help_), 0
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
    return [*lines, f"{name}_sum {sum_:.9g}", f"{name}_count {total}"]


def escaped(value: str) -> str:
    """Return text as the value of a label."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
