"""The learning curves: read from a history.csv, grouped in panels, and drawn as one PNG."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path

from ml_pipeline.common.history import STEPS, read_history

SPLITS = ("train", "val", "valid", "validation", "test")  # train_loss and val_loss share a panel
MAX_PANELS = 4

Panel = dict[str, list[tuple[float, float]]]  # series → points (epoch, value)


def panels(text: str, notes: list[str]) -> dict[str, Panel]:
    """Return the curves of a history.csv by panel: what is measured → its series.

    Columns that are not numbers are left out, and so are values that are not finite.
    """
    rows = read_history(text)
    curves: dict[str, Panel] = {}
    for column in dict.fromkeys(name for row in rows for name in row):
        if column in STEPS:
            continue
        points = [
            (x, row[column])
            for index, row in enumerate(rows)
            if math.isfinite(row.get(column, math.nan))
            and math.isfinite(x := row.get("epoch", row.get("step", index + 1.0)))
        ]
        if points:
            split, _, rest = column.partition("_")
            curves.setdefault(rest if split in SPLITS and rest else column, {})[column] = points
    if len(curves) > MAX_PANELS:
        notes.append(f"history.csv: only {', '.join(list(curves)[:MAX_PANELS])} are drawn")
    return dict(list(curves.items())[:MAX_PANELS])


def plot(curves: Mapping[str, Panel], path: Path) -> None:
    """Draw the learning curves side by side as one PNG."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs its font cache on slow machines
    from matplotlib.figure import Figure  # noqa: PLC0415 - most of the time that a report takes

    figure = Figure(figsize=(4.2 * len(curves), 3.2), layout="constrained")
    axes = figure.subplots(1, len(curves), squeeze=False)
    for axis, (title, panel) in zip(axes[0], curves.items(), strict=True):
        for points in panel.values():
            axis.plot([p[0] for p in points], [p[1] for p in points], marker="o", markersize=3)
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        # The names are the project's: a dollar sign in them starts no formula.
        axis.set_title(_printable(title), parse_math=False)
        for text in axis.legend([_printable(label) for label in panel], frameon=False).get_texts():
            text.set_parse_math(False)
    figure.savefig(path, dpi=120)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())
