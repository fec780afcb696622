"""The settings of `validate-data` and `split`, as project/settings.py writes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ml_pipeline.project.data_rules import Column, Drift, Leakage, Scalar


@dataclass(frozen=True)
class Settings:
    """What the two programs need of the configuration: task, seed, and most of [data]."""

    path: str
    target: str
    task: Literal["classification", "regression"]
    seed: int
    positive: Scalar | None = None
    holdout: float | str = 0.2
    time: str | None = None
    reference: str | None = None
    key: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    drift: Drift = field(default_factory=Drift)
    leakage: Leakage = field(default_factory=Leakage)
    columns: Mapping[str, Column] = field(default_factory=dict)

    def features(self, names: Mapping[str, object]) -> list[str]:
        """Return those of the names that a model may be given."""
        return [name for name in names if name != self.target and name not in self.exclude]
