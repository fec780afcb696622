"""Columns that only the names of folders hold, as Hive writes them: year=2024/month=5/rows.parquet."""

from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import unquote

import polars as pl

from ml_pipeline.columns.polars_types import DTYPES
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data.inference import infer

MISSING = "__HIVE_DEFAULT_PARTITION__"


def added(frames: Sequence[pl.LazyFrame], places: Sequence[PurePath], *, is_text: bool) -> list[pl.LazyFrame]:
    """Add the columns to the frame of each file. Raises StageFailure if files have different ones.

    A column that the files have themselves is theirs. With `is_text` the values stay text, as those of a CSV
    are; else their type is decided over all folders.
    """
    values = [_values(place) for place in places]
    own = set(frames[0].collect_schema().names())
    names = [name for name in values[0] if name not in own]
    if not names and not any(set(each) - own for each in values):
        return list(frames)
    for place, each in zip(places, values, strict=True):
        if set(each) - own != set(names):
            cause = f"{place} and {places[0]} are in folders of different columns"
            raise StageFailure(
                cause, "give all files of the table the same folders, such as year=2024/month=5"
            )
    texts = pl.DataFrame(
        {name: [each[name] for each in values] for name in names}, schema=dict.fromkeys(names, pl.String)
    )
    if not is_text:
        types = {name: found.type for name, found in infer(texts.lazy()).items()}
        texts = texts.select(
            pl.col(name).cast(DTYPES[types[name]]) if types[name] in {"integer", "number"} else pl.col(name)
            for name in names
        )
    rows = texts.to_dicts()
    return [
        frame.with_columns(pl.lit(row[name], texts.schema[name]).alias(name) for name in names)
        for frame, row in zip(frames, rows, strict=True)
    ]


def _values(place: PurePath) -> dict[str, str | None]:
    parts = [part.partition("=") for part in place.parent.parts if "=" in part]
    return {unquote(name): None if value == MISSING else unquote(value) for name, _, value in parts if name}
