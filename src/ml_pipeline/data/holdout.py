"""Which rows are held out: the same rows for the same seed, everywhere."""

import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data.grouped import groups_held_out
from ml_pipeline.data.settings import Settings

SET_HOLDOUT = "change holdout under [tool.ml-pipeline.data]"
Mask = npt.NDArray[np.bool_]
_TAKEN = "\x1fgoes to this part"  # no column's name has a control character


def holdout_rows(frame: pl.LazyFrame, settings: Settings) -> Mask:
    """Return a mask of the holdout rows [rows]: the last by `time` where it is set, else drawn by the seed.

    Of each class (classification), the share `holdout` is drawn, rounded half up, and at least one
    row stays on either side; a class of one row is trained on.
    """
    fraction = float(settings.holdout)
    if settings.group:
        return groups_held_out(frame, settings, fraction)
    if not 0 < fraction < 1:
        raise StageFailure(f"holdout = {settings.holdout} is not between 0 and 1", SET_HOLDOUT)
    rows = int(frame.select(pl.len()).collect().item())
    if rows < 2:
        raise StageFailure(f"{rows} row can't be split", "add data, or name a holdout file")
    group: npt.NDArray[np.uint32] = np.zeros(rows, np.uint32)
    if settings.time:
        rank_by = _times(frame, settings.time)
    else:
        # Python promises the sequence of `random()` for a seed; no library's own shuffle does.
        draw = random.Random(settings.seed)  # noqa: S311 - no secret is drawn
        # The greatest keys are taken, as the latest times are.
        rank_by = np.fromiter((-draw.random() for _ in range(rows)), np.float64, rows)
        if settings.task == "classification":
            target = frame.select(settings.target).collect().to_series()
            group = target.rank("dense").cast(pl.UInt32).to_numpy() - 1
    sizes = np.bincount(group)
    quota = np.clip(np.floor(sizes * fraction + 0.5), 1, None)
    quota = np.minimum(quota, sizes - 1).astype(np.int64)
    held = np.zeros(rows, bool)
    ends = np.cumsum(sizes)
    order = np.argsort(group, kind="stable")
    for end, size, count in zip(ends, sizes, quota, strict=True):
        members = order[end - size : end]
        held[members] = _greatest(rank_by[members], int(count))
    return held


def _greatest(values: npt.NDArray[np.generic], count: int) -> Mask:
    """Return a mask of the `count` greatest values; of equal ones the last."""
    if not count:
        return np.zeros(len(values), bool)
    least = np.partition(values, len(values) - count)[len(values) - count]
    marked: Mask = values > least
    equal = np.flatnonzero(values == least)
    marked[equal[len(equal) - (count - int(marked.sum())) :]] = True
    return marked


def _times(frame: pl.LazyFrame, time: str) -> npt.NDArray[np.generic]:
    column = frame.select(time).collect().to_series()
    missing = column.null_count()
    if missing:
        raise StageFailure(
            f"{missing} row{'' if missing == 1 else 's'} lack {time!r}, which orders the rows",
            "remove them, or remove time from [tool.ml-pipeline.data]",
        )
    return column.to_physical().to_numpy()


def require_classes(train: pl.LazyFrame, holdout: pl.LazyFrame, target: str) -> None:
    """Fail where a part has one class, or the holdout one of its own or fewer rows than there are classes."""
    seen, judged = (set(part.select(pl.col(target).unique()).collect()[target]) for part in (train, holdout))
    for part, values in (("training", seen), ("holdout", judged)):
        if len(values) < 2:
            only = repr(next(iter(values))) if values else "none"
            raise StageFailure(f"the {part} rows have one class of {target!r} ({only})", SET_HOLDOUT)
    unseen = sorted(map(repr, judged - seen))
    if unseen:
        raise StageFailure(f"class {unseen[0]} of {target!r} is in the holdout only", SET_HOLDOUT)
    rows = holdout.select(pl.len()).collect().item()
    if rows < len(seen):
        raise StageFailure(f"the holdout has {rows} rows for {len(seen)} classes of {target!r}", SET_HOLDOUT)


def taken(frame: pl.LazyFrame, rows: Mask) -> pl.LazyFrame:
    """Return the rows of a mask [rows], in their order."""
    marked = pl.concat([frame, pl.DataFrame({_TAKEN: rows}).lazy()], how="horizontal", strict=True)
    return marked.filter(_TAKEN).drop(_TAKEN)


def write(frame: pl.LazyFrame, path: Path) -> None:
    """Write Parquet whose bytes depend on the rows alone."""
    frame.sink_parquet(
        path, compression="zstd", compression_level=3, row_group_size=1 << 17, maintain_order=True
    )
