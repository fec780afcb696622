"""[data.columns], [data.drift] and [data.leakage]: the rules that the project's data is checked by.

They are part of the configuration and, as JSON, of the settings of the data stages.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from ml_pipeline.columns.types import ColumnType
from ml_pipeline.common.reading import Bounds

Scalar = str | int | float | bool
Share = Annotated[float, Bounds(minimum=0, maximum=1)]
Threshold = Annotated[float, Bounds(minimum=0, hint="use 0 or more; inf where nothing counts as drift")]

Effect = Literal["wasserstein", "psi", "jensen_shannon"]


@dataclass(frozen=True)
class Drift:
    """[data.drift]: when a column counts as drifted.

    It has drifted when its test is significant and its effect is large.
    """

    # The significance level of the tests, corrected for their number.
    alpha: Share = 0.05
    # The least effect that counts as drift, in the unit of the effect.
    threshold: Threshold = 0.1
    # How the size of a change is measured. Absent: for numbers the Wasserstein distance in standard
    # deviations, for categories the Jensen-Shannon distance. "psi" is the population stability index.
    effect: Effect | None = None
    # Whether drift is a warning, or stops the run.
    action: Literal["warn", "stop"] = "warn"


@dataclass(frozen=True)
class ColumnDrift:
    """`drift` of one column, in place of [data.drift]'s values; an absent key takes the value from there."""

    alpha: Share | None = None
    threshold: Threshold | None = None
    effect: Effect | None = None


@dataclass(frozen=True)
class Leakage:
    """[data.leakage]: when the data is suspected to reveal the target."""

    # A column counts as a leak when it alone predicts the target this well: 0 is no better than chance, 1 is
    # perfect.
    score: Share = 0.95
    # A holdout file counts as a leak when more than this share of its rows are also training rows.
    shared: Share = 0.05
    # Whether a leak is a warning, or stops the run.
    action: Literal["warn", "stop"] = "warn"


@dataclass(frozen=True)
class Column:
    """[data.columns.NAME]: which values a column may have. A rule that is absent is not checked."""

    # Absent: inferred from the data.
    type: ColumnType | None = None
    # How times are written that are not ISO 8601, in the directives of Python's strptime: "%m/%d/%Y".
    format: str | None = None
    # The least and the greatest value allowed. Those of times are strings, such as "2024-01-01".
    min: float | str | None = None
    max: float | str | None = None
    # Whether values may be missing.
    nullable: bool = True
    # The only values allowed.
    allowed: tuple[Scalar, ...] | None = None
    # A regular expression that each string must match.
    pattern: str | None = None
    # Whether no value may occur twice.
    unique: bool = False
    # The largest share of missing values allowed, from 0 to 1.
    max_missing: float | None = None
    # The share of the values that must keep these rules: 0.95 lets a few break them, with a warning.
    mostly: Annotated[float, Bounds(above=0, maximum=1)] | None = None
    # What counts as drift in this column.
    drift: ColumnDrift | None = None
