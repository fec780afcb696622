"""Learning curves in Markdown, which GitHub and GitLab draw: no host has to keep a picture."""

import re
from collections.abc import Mapping, Sequence

Points = Sequence[tuple[float, float]]

MAX_POINTS = 60  # of a line
COLOURS = ("blue", "orange", "green", "purple")
VALUES = "#2563c9, #d9660b, #0f8a80, #9143c2"


def section(curves: Mapping[str, Mapping[str, Points]]) -> str:
    """Return a section with a chart for each panel that has lines, or an empty text."""
    charts = [text for title, panel in curves.items() if (text := chart(title, panel))]
    return "\n\n".join(["### Training", *charts]) if charts else ""


def chart(title: str, panel: Mapping[str, Points]) -> str:
    """Return one panel as an xychart; it has no legend, so that the title names the colours of its lines.

    An xychart's values are at even distances, so a series that is shorter than the longest is left out.
    """
    longest = max(map(len, panel.values()))
    whole = {name: points for name, points in panel.items() if len(points) == longest}
    if longest < 2:
        return ""
    step = -(-longest // MAX_POINTS)
    kept = [i for i in range(longest) if (longest - 1 - i) % step == 0]
    ends = [next(iter(whole.values()))[i][0] for i in (kept[0], -1)]
    values = [[points[i][1] for i in kept] for points in whole.values()]
    low, high = min(map(min, values)), max(map(max, values))
    room = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    names = [f"{_word(name)} ({COLOURS[i % 4]})" for i, name in enumerate(whole)]
    heading = f"{_word(title)}: {', '.join(names)}" if len(names) > 1 else _word(next(iter(whole)))
    lines = [
        "```mermaid",
        f'%%{{init: {{"themeVariables": {{"xyChart": {{"plotColorPalette": "{VALUES}"}}}}}}}}%%',
        "xychart-beta",
        f'  title "{heading}"',
        f'  x-axis "epoch" {_plain(ends[0])} --> {_plain(ends[1])}',
        f"  y-axis {_plain(low - room)} --> {_plain(high + room)}",
        *(f"  line [{', '.join(map(_plain, line))}]" for line in values),
        "```",
    ]
    return "\n".join(lines)


def _plain(value: float) -> str:
    """Return six digits of a number without an exponent, which the charts' language does not know."""
    return f"{float(f'{value:.6g}'):.12f}".rstrip("0").rstrip(".")


def _word(text: str) -> str:
    """Return a project's name for a column without characters that could end the quotes."""
    return re.sub(r"[^\w .:/+-]", " ", text)[:60].strip()
