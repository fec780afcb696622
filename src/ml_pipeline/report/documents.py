"""The documents of other rooms, as the report reads them: verdict.json, the data's report.json, model.json.

Any key may be missing, since an older version may have written the document. Standard library only.
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

from ml_pipeline.common.document import RunDocument

Interval = tuple[float | None, float | None]


class Difference(TypedDict, total=False):
    """A metric's difference to the baseline; `where` names the slice that it is about."""

    value: float | None
    interval: Interval | None
    where: str


class Gate(TypedDict, total=False):
    """A gate's decision. `blocks`: it stops the release."""

    metric: str
    value: float | None
    interval: Interval | None
    baseline: float | None
    difference: Difference | None
    min: float | None
    max: float | None
    max_regression: float | None
    required: bool
    status: str
    reason: str
    blocks: bool


class Skew(TypedDict):
    """How many rows the batch command and /predict answer differently."""

    rows: int
    differing: int


class Point(TypedDict):
    """A bin of the calibration curve."""

    predicted: float
    observed: float


class Method(TypedDict):
    """How the intervals were made."""

    confidence: float


class Verdict(TypedDict, total=False):
    """verdict.json; see gate/verdict.schema.json."""

    passed: bool
    rows: int
    metrics: Mapping[str, float | None]
    baseline: Mapping[str, float | None] | None
    intervals: Mapping[str, Interval]
    differences: Mapping[str, Difference]
    not_measured: Mapping[str, str]
    reported: Mapping[str, float | None]
    method: Method
    gates: Sequence[Gate]
    groups: Sequence[Mapping[str, object]]
    skew: Skew | None
    digests: Mapping[str, str | None]
    roc: Sequence[tuple[float, float]] | None
    precision_recall: Sequence[tuple[float, float]] | None
    calibration: Sequence[Point] | None


class Finding(TypedDict):
    """A violation or a warning of the data."""

    message: str


class Drifted(TypedDict):
    """A column beside the same column of the reference."""

    drifted: bool


class Drift(TypedDict):
    """The data beside a reference."""

    reference: str
    rows: int
    columns: Sequence[Drifted]


class DataReport(TypedDict, total=False):
    """report.json of validate-data."""

    rows: int
    columns: Sequence[Mapping[str, object]]
    sha256: str
    drift: Drift | None
    violations: Sequence[Finding]
    warnings: Sequence[Finding]


class Model(TypedDict, total=False):
    """model.json."""

    name: str
    version: str
    runtime: str | None


def verdict(run: RunDocument) -> Verdict:
    """Return the run's verdict.json; empty where there is none."""
    return cast("Verdict", run.verdict)


def data(run: RunDocument) -> DataReport:
    """Return the run's report on its data; empty where there is none."""
    return cast("DataReport", run.data)


def model(run: RunDocument) -> Model:
    """Return the run's model.json; empty where there is none."""
    return cast("Model", run.model)
