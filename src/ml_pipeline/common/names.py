"""What to say of a name that is not there."""

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a sentence on an unknown name: what was probably meant, or what there is."""
    known = list(names)
    name = name[:100]  # who sends a megabyte for a name is not given minutes of comparisons
    lower = {other.lower(): other for other in reversed(known)}
    close = [lower[match] for match in difflib.get_close_matches(name.lower(), list(lower), 3, 0.6)]
    if close:
        return "did you mean " + " or ".join(repr(other) for other in close) + "?"
    shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
    return f"there are: {shown}" if known else "there are none"
