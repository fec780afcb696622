"""The training stage's settings, as `train` in project/settings.py writes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Search:
    """A search over `parameters`, which are options of `config` with the values to try."""

    parameters: Mapping[str, tuple[object, ...]]
    metric: str  # a name in metrics.json
    mode: Literal["min", "max"] = "min"
    trials: int | None = None  # drawn at random; None: every combination


@dataclass(frozen=True)
class Settings:
    """The settings of one training."""

    task: str  # classification or regression
    target: str  # the target's column
    positive: object = None  # the positive class, which training does not need
    seed: int = 0
    device: str = "cpu"
    timeout: float | None = None  # seconds that a command may take
    config: Mapping[str, object] = field(default_factory=dict)  # train.config, for the trainer
    search: Search | None = None
