"""report.json, part by part: what `validate` found out about the table."""

from collections.abc import Sequence
from datetime import date
from typing import Literal, NotRequired, TypedDict

from ml_pipeline.distributions.differences import Shown

Value = float | str | bool | date | None


class ColumnReport(TypedDict):
    """One column. `mean` and quartiles are of numbers, `top` (the most frequent) of strings and booleans."""

    name: str
    type: str
    missing: int
    missing_share: float
    distinct: NotRequired[int]
    top: NotRequired[Value]
    min: NotRequired[Value]
    max: NotRequired[Value]
    mean: NotRequired[float | None]
    q25: NotRequired[float | None]
    median: NotRequired[float | None]
    q75: NotRequired[float | None]


class TargetReport(TypedDict):
    """The target; of classes, the rows of the most frequent ones and how many classes there are."""

    name: str
    type: str
    task: str
    classes: NotRequired[dict[str, int]]
    distinct: NotRequired[int]


class ViolationReport(TypedDict):
    """A violation, or a warning, as `Violation` has it."""

    column: str
    rule: str
    message: str
    count: int
    share: float
    rows: list[int]
    values: list[Value]


class HoldoutReport(TypedDict):
    """A holdout that is a table of its own."""

    rows: int
    files: list[str]
    sha256: str


class ColumnDrift(TypedDict):
    """How far a column is from the reference. `missing` has the shares of both, `p` and `p_adjusted`."""

    name: str
    target: bool
    test: str
    statistic: float | None
    error: float
    p: float | None
    p_adjusted: float | None
    effect: str  # by which it is judged
    size: float  # of that effect
    said: str
    threshold: float
    alpha: float
    effects: dict[str, float]
    missing: dict[str, float]
    new: list[str]
    drifted: bool
    because: list[Literal["values", "missing"]]
    shown: Shown


class DriftReport(TypedDict):
    """The comparison with the reference: a table (which has a digest), or the record of an image."""

    reference: str
    sha256: NotRequired[str]
    only_reference: NotRequired[list[str]]
    rows: int  # of the reference
    only_current: list[str]
    share: float  # of the columns that have drifted
    columns: list[ColumnDrift]  # the furthest from the reference first


class Report(TypedDict):
    """The whole document."""

    rows: int
    columns: list[ColumnReport]
    target: TargetReport
    unnamed: list[str]  # columns that the schema does not name, where there is a schema
    files: list[str]
    sha256: str
    holdout: NotRequired[HoldoutReport]
    drift: DriftReport | None
    violations: Sequence[ViolationReport]
    warnings: Sequence[ViolationReport]
