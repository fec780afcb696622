"""Which rows are held out where rows belong together: whole groups, with the classes' shares."""

import random

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_pipeline.columns import row_groups
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data.settings import Settings

Mask = npt.NDArray[np.bool_]
_SET_GROUP = "change group under [tool.ml-pipeline.data]"


def groups_held_out(frame: pl.LazyFrame, settings: Settings, fraction: float) -> Mask:
    """Return a mask of the holdout rows [rows]: all rows of a group are on one side.

    Groups are taken in an order drawn by the seed, each one that brings the holdout's rows of every class
    (all rows, for a regression) nearer to the share `fraction`. At least one group is on either side. A
    missing group is a group of its own row.
    """
    group = settings.group or ""
    names = [group, settings.target] if settings.task == "classification" else [group]
    table = frame.select(names).collect()
    codes = row_groups.codes(table[group])
    count = int(codes.max(initial=-1)) + 1
    if count < 2:
        raise StageFailure(
            f"group column {group!r} has one value, so the rows can't be split by it", _SET_GROUP
        )
    classes = np.zeros(len(codes), np.int64)
    if settings.task == "classification":
        classes = table[settings.target].rank("dense").cast(pl.Int64).to_numpy() - 1
    rows = np.zeros((count, int(classes.max()) + 1), np.int64)
    np.add.at(rows, (codes, classes), 1)
    quota = rows.sum(axis=0) * fraction
    draw = random.Random(settings.seed)  # noqa: S311 - no secret is drawn
    order = sorted(range(count), key=lambda _: draw.random())
    held, taken = np.zeros(rows.shape[1]), np.zeros(count, bool)
    for each in order:
        if np.square(held + rows[each] - quota).sum() < np.square(held - quota).sum():
            held += rows[each]
            taken[each] = True
    if not taken.any():
        taken[int(rows.sum(axis=1).argmin())] = True
    if taken.all():
        taken[order[-1]] = False
    return np.asarray(taken[codes], bool)
