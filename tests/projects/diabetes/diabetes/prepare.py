"""The first step: standardised columns and a column of ones, as an array that the second step reads."""

import os
from pathlib import Path

import numpy as np
import polars as pl

TARGET = "progression"


def table(frame: pl.DataFrame) -> np.ndarray:
    """Return the features, standardised, then ones, then the target: [rows, features + 2]."""
    features = frame.drop(TARGET).to_numpy().astype(float)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return np.column_stack([features, np.ones(len(features)), frame[TARGET].to_numpy()])


def main() -> None:
    """Read ML_DATA, write table.npy to ML_OUTPUT."""
    np.save(
        Path(os.environ["ML_OUTPUT"]) / "table.npy",
        table(pl.read_parquet(os.environ["ML_DATA"])),
    )


if __name__ == "__main__":
    main()
