"""verdict.json: what the gate measured of one candidate, and its decisions. Standard library only.

gate/verdict.schema.json is made from these types (gate/verdict_schema.py). A dict in an annotation has more
keywords of the schema.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, TypedDict

SCHEMA_VERSION: Literal[1] = 1  # a change that a reader would notice raises it

Status = Literal["passed", "failed", "not-enough-evidence", "not-measured"]
Number = float | None  # null: it is not finite, which JSON can't say
Numbers = Mapping[str, Number]
Interval = Annotated[tuple[Number, Number] | None, {"description": "low and high; null: not known"}]
Point = tuple[float, float]
Digest = Annotated[str | None, {"pattern": "^[a-z0-9]+:[0-9a-f]+$"}]


class Model(TypedDict):
    """The candidate's name and version, from model.json."""

    name: str | None
    version: str | None


class Digests(TypedDict):
    """What was judged, and by what."""

    candidate: Annotated[Digest, {"description": "of the files of the candidate's image"}]
    baseline: Digest
    data: Digest
    config: Digest


class Method(TypedDict):
    """How the intervals were computed."""

    confidence: float
    rounds: int
    seed: int


class Difference(TypedDict):
    """Candidate minus baseline on the same rows; `where` names the rows if they are not all."""

    value: Number
    interval: Interval
    where: str


class Gate(TypedDict):
    """The decision of one gate."""

    metric: str
    value: Number
    interval: Interval
    where: Annotated[str, {"description": "the slice, or the sensitive column, that it is about"}]
    baseline: Number
    difference: Difference | None
    min: Number
    max: Number
    max_regression: Number
    better_than: NotRequired[
        Annotated[str | None, {"description": "the simple model that it must beat; null: none"}]
    ]
    required: bool
    confidence: Annotated[float | None, {"description": "null: decided on the point"}]
    insufficient: Literal["block", "allow"]
    status: Status
    reason: str
    blocks: bool


class Group(TypedDict):
    """One group of one column; beside these keys its metrics, each a number or null."""

    column: str
    kind: Literal["sensitive", "slice"]
    group: str
    rows: int
    intervals: Mapping[str, Interval]


class ColumnFairness(TypedDict):
    """One sensitive column, or several that cross; beside these keys its metrics, each a number or null."""

    column: str
    intervals: Mapping[str, Interval]
    expected_if_alike: NotRequired[
        Annotated[Numbers, {"description": "what each metric is on average if all groups are alike"}]
    ]
    left_out: NotRequired[
        Annotated[Mapping[str, int], {"description": "groups that are too small, and their rows"}]
    ]


class SliceDifference(TypedDict):
    """Candidate minus baseline on one slice."""

    value: Number
    interval: Interval


class Slice(TypedDict):
    """One slice of the holdout."""

    slice: str
    rows: int
    value: Number
    interval: Interval
    baseline: Number
    difference: SliceDifference | None


class Slices(TypedDict):
    """The search over slices."""

    metric: Literal["accuracy", "rmse"]
    looked_at: int
    min_rows: int
    worst: Sequence[Slice]


class Skew(TypedDict):
    """On how many rows the image's batch command and its /predict differ; `first` are row numbers."""

    rows: int
    differing: int
    max_difference: Number
    first: Sequence[int]


class Confusion(TypedDict):
    """Counts of rows: a row of the matrix is a true class, a column a predicted one."""

    classes: Sequence[Any]  # labels: text, numbers or booleans
    matrix: Sequence[Sequence[int]]


class Bin(TypedDict):
    """One bin of the calibration curve."""

    predicted: float
    observed: float
    rows: int


class Verdict(TypedDict):
    """verdict.json."""

    schema_version: Literal[1]
    passed: Annotated[bool, {"description": "may ship"}]
    model: Model
    task: Literal["classification", "regression"]
    rows: Annotated[int, {"minimum": 1, "description": "of the holdout"}]
    row_groups: NotRequired[
        Annotated[
            int | None,
            {"minimum": 1, "description": "how many groups the rows make by data.group; null: it is not set"},
        ]
    ]
    time_blocks: NotRequired[
        Annotated[
            int | None,
            {"minimum": 1, "description": "how many blocks the rows make by data.time; null: they make none"},
        ]
    ]
    group_rows: NotRequired[
        Annotated[int, {"description": "how many rows a group of `groups` needs; smaller ones are left out"}]
    ]
    digests: Digests
    method: Method
    metrics: Annotated[Numbers, {"description": "of the candidate"}]
    intervals: Annotated[
        Mapping[str, Interval],
        {"description": "metric to the ends of its interval, at method.confidence"},
    ]
    not_measured: Annotated[Mapping[str, str], {"description": "metric to why it has no value"}]
    notes: NotRequired[
        Annotated[Mapping[str, str], {"description": "metric to what a reader of its value should know"}]
    ]
    no_interval: NotRequired[
        Annotated[Mapping[str, str], {"description": "metric to why it has no interval"}]
    ]
    reported: Annotated[Numbers, {"description": "the training's own metrics.json"}]
    baseline: Annotated[Numbers | None, {"description": "its metrics; null: there is none"}]
    references: NotRequired[
        Annotated[
            Mapping[str, Numbers],
            {"description": "constant, linear, boosting: the metrics of simple models on the same rows"},
        ]
    ]
    no_better: NotRequired[
        Annotated[
            Mapping[str, str],
            {"description": "metrics that are not shown to be better than one answer for all rows"},
        ]
    ]
    differences: Annotated[
        Mapping[str, Difference], {"description": "metric to candidate minus baseline on the same rows"}
    ]
    gates: Sequence[Gate]
    groups: Sequence[Group]
    fairness: Sequence[ColumnFairness]
    slices: Annotated[
        Slices | None,
        {
            "description": "the slices that are worst, and those that lost most; the intervals hold for all "
            "that were looked at"
        },
    ]
    skew: Skew | None
    requests: NotRequired[
        Annotated[
            int | None,
            {"minimum": 1, "description": "recorded ones that candidate and baseline answered"},
        ]
    ]
    confusion: Confusion | None
    roc: Annotated[
        Sequence[Point] | None, {"description": "points [false positive rate, true positive rate]"}
    ]
    precision_recall: Annotated[Sequence[Point] | None, {"description": "points [recall, precision]"}]
    calibration: Sequence[Bin] | None
