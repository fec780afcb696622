"""The settings of `validate-data` and `split`, as project/settings.py writes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ml_pipeline.columns.text import Decimal, TextRules
from ml_pipeline.columns.types import NUMBERS
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
    group: str | None = None
    unlabelled: Literal["error", "drop"] = "error"
    missing: tuple[Scalar, ...] = ()
    decimal: Decimal | None = None
    separator: str | None = None
    encoding: str | None = None
    exclude: tuple[str, ...] = ()
    drift: Drift = field(default_factory=Drift)
    leakage: Leakage = field(default_factory=Leakage)
    columns: Mapping[str, Column] = field(default_factory=dict)

    def text_rules(self, commas: frozenset[str] = frozenset()) -> TextRules:
        """Return how texts are read; `commas` are columns that are known to have decimal commas."""
        formats = {name: rules.format for name, rules in self.columns.items() if rules.format}
        if self.decimal == ",":
            commas |= {name for name, rules in self.columns.items() if rules.type in NUMBERS}
        return TextRules(self.missing, commas, formats)

    def features(self, names: Mapping[str, object]) -> list[str]:
        """Return those of the names that a model may be given."""
        return [name for name in names if name not in {self.target, self.group, *self.exclude}]
