"""Rounds of work in turn, and ratios with their spread."""

import statistics
import time
from collections.abc import Callable
from typing import Any


def timed(work: Callable[[], Any]) -> float:
    """Return how many seconds it took."""
    clock = time.perf_counter()
    work()
    return time.perf_counter() - clock


def alternate(rounds: int, **sides: Callable[[], Any]) -> dict[str, list[float]]:
    """Run the sides in turn; each round begins with another one."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        names = list(sides)[turn % len(sides) :] + list(sides)[: turn % len(sides)]
        for name in names:
            seconds[name].append(timed(sides[name]))
    return seconds


def ratio(one: list[float], other: list[float], scale: float = 1.0) -> list[float]:
    return [a / b * scale for a, b in zip(one, other, strict=True)]


def say(what: str, ratios: list[float]) -> float:
    """Print a median with its spread, and return it."""
    middle = statistics.median(ratios)
    print(f"  {what:46} {middle:8.2f}   ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)")
    return round(middle, 3)
