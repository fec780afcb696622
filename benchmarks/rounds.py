"""Timed rounds of several kinds of work in turn, and ratios with their range."""

import statistics
import time
from collections.abc import Callable


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that the work takes."""
    clock = time.perf_counter()
    work()
    return time.perf_counter() - clock


def alternate(rounds: int, **sides: Callable[[], object]) -> dict[str, list[float]]:
    """Run the sides in turn, and return their seconds. Each round begins with another side."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        names = list(sides)[turn % len(sides) :] + list(sides)[: turn % len(sides)]
        for name in names:
            seconds[name].append(timed(sides[name]))
    return seconds


def ratio(one: list[float], other: list[float], scale: float = 1.0) -> list[float]:
    """Return one / other for each round."""
    return [a / b * scale for a, b in zip(one, other, strict=True)]


def say(what: str, ratios: list[float]) -> float:
    """Print the median of the ratios with their range, and return it."""
    middle = statistics.median(ratios)
    print(f"  {what:46} {middle:8.2f}   ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)")
    return round(middle, 3)
