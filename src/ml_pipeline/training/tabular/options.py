"""The built-in trainer's options: the keys of `train.config`, checked."""

import math
from dataclasses import dataclass, fields
from typing import Any

from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure

# The smallest and the largest value of each option; its type is that of its field.
LIMITS: dict[str, tuple[float, float]] = {
    "epochs": (1, 10_000),
    "patience": (1, 10_000),
    "batch_size": (2, 1_000_000),
    "learning_rate": (1e-6, 1.0),
    "weight_decay": (0.0, 1.0),
    "dropout": (0.0, 0.9),
    "width": (1, 4096),
    "depth": (1, 16),
    "members": (1, 64),
    "bins": (2, 256),
    "embedding": (1, 256),
    "validation": (0.01, 0.5),
    "refit_rows": (0, 1_000_000_000),
}
CHOICES = {"class_weight": ("none", "balanced")}


@dataclass(frozen=True)
class Options:
    """How the built-in network is built and trained: every key of `train.config`."""

    epochs: int = 0  # 0: by the number of rows
    patience: int = 8  # training ends after so many epochs without a better validation loss
    batch_size: int = 0  # 0: by the number of rows
    learning_rate: float = 6e-3  # the peak of the schedule
    weight_decay: float = 0.2
    dropout: float = 0.1
    width: int = 128  # of each hidden layer
    depth: int = 1  # hidden layers
    members: int = 4  # of the ensemble inside the network
    bins: int = 0  # at most so many for a numeric column; 0: by the number of rows
    embedding: int = 12  # numbers that represent one column's value
    validation: float = 0.15  # the share of the training rows that early stopping watches
    # Up to so many rows, a second training uses all rows, for as many epochs as were best in the first.
    refit_rows: int = 20_000
    class_weight: str = "none"  # balanced: rare classes count as much as frequent ones


def read(config: object) -> Options:
    """Return `train.config` as options. Raises StageFailure for an unknown key or a wrong value."""
    if not isinstance(config, dict):
        raise StageFailure(
            "train.config is not a table of options", "write for example config = {epochs = 20}"
        )
    types: dict[str, type[int | float]] = {
        field.name: int if field.type is int else float for field in fields(Options)
    }
    for key, value in config.items():
        if key not in types:
            raise StageFailure(f"train.config has no option {key!r}", nearest(key, types))
        if key in CHOICES:
            if value not in CHOICES[key]:
                cause = f"train.config.{key} is {value!r}"
                raise StageFailure(cause, f"use one of {', '.join(CHOICES[key])}")
            continue
        low, high = LIMITS[key]
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not low <= value <= high or (types[key] is int and not whole):
            noun = "a whole number" if types[key] is int else "a number"
            raise StageFailure(f"train.config.{key} is {value!r}", f"use {noun} between {low:g} and {high:g}")
    # Any: a key's value was checked above against its field's type.
    values: dict[str, Any] = {
        key: value if key in CHOICES else types[key](value) for key, value in config.items()
    }
    return Options(**values)


def bins(rows: int, options: Options) -> int:
    """Return the largest number of bins for this many rows: one for every 64 rows, and at least two.

    With fewer rows per bin, the network overfits small data.
    """
    return options.bins or max(2, min(48, rows // 64))


def sizes(rows: int, options: Options) -> tuple[int, int]:
    """Return the batch size and the number of epochs for this many training rows.

    Small data gets small batches and many epochs; early stopping ends most runs.
    """
    batch = options.batch_size or min(512, max(32, 2 ** round(math.log2(rows / 40 + 1))))
    return batch, options.epochs or max(10, min(60, 480_000 // rows))
