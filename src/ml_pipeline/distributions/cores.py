"""How many columns are worked on at a time: as many as there are cores, if memory allows."""

import os

MEMORY = 512_000_000  # bytes, for columns at work
A_VALUE = 32  # bytes: read, sorted, and what is compared on the way


def columns_at_once(rows: int) -> int:
    """Return how many columns of so many rows may be worked on at a time."""
    return min(os.cpu_count() or 1, columns_in_memory(rows))


def columns_in_memory(rows: int) -> int:
    """Return how many columns of so many rows may be in memory together."""
    return max(1, MEMORY // (A_VALUE * max(rows, 1)))
