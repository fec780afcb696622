"""Rows for the built-in trainer: a column of each type, with missing values."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

N = 300


def rows(seed: int = 0) -> pl.DataFrame:
    """A column of each type, with missing values; and some that carry nothing."""
    generator = np.random.default_rng(seed)

    def holes(values: Any, share: float = 0.1) -> pl.Series:
        kept = generator.random(N) >= share
        return pl.Series([value if keep else None for value, keep in zip(values, kept, strict=True)])

    start = datetime(2024, 1, 1)
    hours = generator.integers(0, 20_000, N).tolist()
    return pl.DataFrame(
        {
            "age": generator.integers(17, 90, N),
            "gain": np.where(generator.random(N) < 0.9, 0.0, generator.lognormal(8, 2, N)),
            "score": holes(generator.normal(1e6, 2, N).tolist()),
            "member": holes((generator.random(N) < 0.3).tolist()),
            "seen": holes([start + timedelta(hours=hour) for hour in hours]),
            "job": holes(generator.choice(["clerk", "smith", "Ørsted"], N).tolist()),
            "name": [f"person {row}" for row in range(N)],
            "same": ["x"] * N,
            "empty": pl.Series([None] * N, dtype=pl.Float64),
        }
    )


def labelled(seed: int = 0) -> pl.DataFrame:
    """The rows with a target y that follows from three of the columns, nearly."""
    frame = rows(seed)
    noise = pl.Series(np.random.default_rng(seed).normal(0, 5, N))
    points = (
        pl.col("age")
        + 20 * (pl.col("job").fill_null("") == "smith")
        + 10 * pl.col("member").fill_null(strategy="zero")
        + noise
    )
    return frame.with_columns(y=pl.when(points > 60).then(pl.lit("yes")).otherwise(pl.lit("no")))
