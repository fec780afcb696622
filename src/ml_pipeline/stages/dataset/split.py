"""Split a table into training and holdout rows: the same rows for the same seed, everywhere."""

import random
from pathlib import Path
from typing import Any

import polars as pl

from ml_pipeline.stages.outcome import StageFailure

SET_HOLDOUT = "change holdout under [tool.ml-pipeline.data]"
_KEY, _TAKEN = "random key", "goes to the holdout"  # no column of a table is named so


def split_rows(table: pl.DataFrame, settings: dict[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(training, holdout): the last rows by `time` where it is set, else drawn by the seed.

    Of each class (classification), the share `holdout` is drawn, rounded half up, and at least one
    row stays on either side; a class of one row is trained on. Rows keep their order.
    """
    fraction = float(settings["holdout"])
    if not 0 < fraction < 1:
        raise StageFailure(f"holdout = {settings['holdout']} is not between 0 and 1", SET_HOLDOUT)
    if table.height < 2:
        raise StageFailure(f"{table.height} row can't be split", "add data, or name a holdout file")
    if settings.get("time"):
        ordered = _by_time(table, settings["time"])
        taken = _share(table.height, fraction)
        return ordered.head(table.height - taken), ordered.tail(taken)
    # Python promises the sequence of `random()` for a seed; no library's own shuffle does.
    draw = random.Random(settings["seed"])  # noqa: S311 - no secret is drawn
    keyed = table.with_columns(pl.Series(_KEY, [draw.random() for _ in range(table.height)], pl.Float64))
    rank, size = pl.col(_KEY).rank("ordinal"), pl.len()
    if settings["task"] == "classification":
        rank, size = rank.over(settings["target"]), size.over(settings["target"])
    quota = (size * fraction + 0.5).floor().clip(1, None)
    quota = pl.min_horizontal(quota, size.cast(pl.Int64) - 1)
    marked = keyed.with_columns((rank <= quota).alias(_TAKEN)).drop(_KEY)
    return marked.filter(~pl.col(_TAKEN)).drop(_TAKEN), marked.filter(_TAKEN).drop(_TAKEN)


def _share(rows: int, fraction: float) -> int:
    return min(max(int(rows * fraction + 0.5), 1), rows - 1)


def _by_time(table: pl.DataFrame, time: str) -> pl.DataFrame:
    missing = table[time].null_count()
    if missing:
        raise StageFailure(
            f"{missing} row{'' if missing == 1 else 's'} lack {time!r}, which orders the rows",
            "drop them, or take time out of [tool.ml-pipeline.data]",
        )
    return table.sort(time, maintain_order=True)


def require_classes(train: pl.DataFrame, holdout: pl.DataFrame, settings: dict[str, Any]) -> None:
    """Fail when either part has fewer than two classes, or the holdout one that training never sees."""
    target = settings["target"]
    seen = set(train[target].unique())
    judged = set(holdout[target].unique())
    for part, found in (("training", seen), ("holdout", judged)):
        if len(found) < 2:
            only = repr(next(iter(found))) if found else "none"
            raise StageFailure(f"the {part} rows have one class of {target!r} ({only})", SET_HOLDOUT)
    unseen = sorted(map(repr, judged - seen))
    if unseen:
        raise StageFailure(f"class {unseen[0]} of {target!r} is in the holdout only", SET_HOLDOUT)


def write(table: pl.DataFrame, path: Path) -> None:
    """Write Parquet whose bytes depend on the rows alone."""
    table.rechunk().write_parquet(path, compression="zstd", compression_level=3, row_group_size=1 << 17)
