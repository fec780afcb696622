"""A hint for a name that does not exist."""

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the names that are like it, or some that exist."""
    existing = list(names)
    name = name[:100]  # comparing a name of a megabyte would take minutes
    lower = {other.lower(): other for other in reversed(existing)}
    close = [lower[match] for match in difflib.get_close_matches(name.lower(), list(lower), 3, 0.6)]
    if close:
        return "did you mean " + " or ".join(repr(other) for other in close) + "?"
    shown = ", ".join(existing[:8]) + (", …" if len(existing) > 8 else "")
    return f"there are: {shown}" if existing else "there are none"
