"""The documents of other rooms, as the report reads them: the data's report.json, model.json, verdict.json.

Any key may be missing, since an older version may have written the document. Standard library only.
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

from ml_pipeline.common.document import RunDocument
from ml_pipeline.common.verdict import Verdict


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
    positive: object  # a label
    chosen: bool  # whether it is the rarer one, as none is named


def verdict(run: RunDocument) -> Verdict:
    """Return the run's verdict.json; empty where there is none."""
    return cast("Verdict", run.verdict)


def data(run: RunDocument) -> DataReport:
    """Return the run's report on its data; empty where there is none."""
    return cast("DataReport", run.data)


def model(run: RunDocument) -> Model:
    """Return the run's model.json; empty where there is none."""
    return cast("Model", run.model)
