"""The built-in trainer's options: what `train.config` may hold, checked."""

import math
from dataclasses import dataclass, fields
from typing import Any

from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure

# Each option's least and greatest value; the type is its field's.
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
    """How the built-in network is made and trained; every key of `train.config`."""

    epochs: int = 0  # 0: by the number of rows
    patience: int = 8  # epochs without a better validation loss before the end
    batch_size: int = 0  # 0: by the number of rows
    learning_rate: float = 6e-3  # the peak of the schedule
    weight_decay: float = 0.2
    dropout: float = 0.1
    width: int = 128  # of each hidden layer
    depth: int = 1  # hidden layers
    members: int = 4  # of the ensemble inside the network
    bins: int = 0  # of a numeric column, at most; 0: by the number of rows
    embedding: int = 12  # numbers that stand for one column's value
    validation: float = 0.15  # the share of the training rows that early stopping watches
    refit_rows: int = (
        20_000  # up to so many, a second training sees all rows, for the first one's best epochs
    )
    class_weight: str = "none"  # balanced: rare classes count as much as frequent ones


def read(config: Any) -> Options:
    """`train.config` as options; a key or value that is none is a StageFailure."""
    if not isinstance(config, dict):
        raise StageFailure("train.config is not a table of options", "write config = {epochs = 20}, say")
    kinds = {field.name: int if field.type is int else float for field in fields(Options)}
    for key, value in config.items():
        if key not in kinds:
            raise StageFailure(f"train.config has no option {key!r}", nearest(key, kinds))
        if key in CHOICES:
            if value not in CHOICES[key]:
                cause = f"train.config.{key} is {value!r}"
                raise StageFailure(cause, f"give one of {', '.join(CHOICES[key])}")
            continue
        low, high = LIMITS[key]
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not low <= value <= high or (kinds[key] is int and not whole):
            noun = "a whole number" if kinds[key] is int else "a number"
            raise StageFailure(
                f"train.config.{key} is {value!r}", f"give {noun} between {low:g} and {high:g}"
            )
    values: dict[str, Any] = {
        key: value if key in CHOICES else kinds[key](value) for key, value in config.items()
    }
    return Options(**values)


def bins(rows: int, options: Options) -> int:
    """The greatest number of bins for so many rows: 64 rows a bin, and two bins at least.

    With fewer rows a bin, small data is learned by heart.
    """
    return options.bins or max(2, min(48, rows // 64))


def sizes(rows: int, options: Options) -> tuple[int, int]:
    """Batch size and number of epochs for so many training rows.

    Small data takes small batches and many epochs; early stopping ends most runs.
    """
    batch = options.batch_size or min(512, max(32, 2 ** round(math.log2(rows / 40 + 1))))
    return batch, options.epochs or max(10, min(60, 480_000 // rows))
