"""One project's configuration as frozen objects.

The classes are the schema of ml-pipeline.toml, or of [tool.ml-pipeline] in pyproject.toml: a field's name is
its key, its annotation is the type and the limits of its value, its default is what an absent key means.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from ml_pipeline.common.reading import Bounds
from ml_pipeline.common.tolerances import Tolerances
from ml_pipeline.project.data_rules import Column, Drift, Leakage, Scalar

Positive = Annotated[int, Bounds(minimum=1)]


@dataclass(frozen=True)
class Data:
    """[data]: where the rows are, what is predicted, and which rows are held out.

    Tables are Parquet, CSV or JSON lines: a file, a folder or a glob, as a path in the project or as
    s3://BUCKET/KEY. A CSV may be compressed by gzip.
    """

    # The table with all rows, or with the training rows where `holdout` is a table too.
    path: str
    # The column to predict.
    target: str
    # The value of the target that counts as positive, where it has two values. Absent: the rarer one.
    positive: Scalar | None = None
    # The share of rows that are held out for the gate, drawn at random; or a table of such rows.
    holdout: (
        Annotated[
            float,
            Bounds(
                above=0,
                below=1,
                problem="must be a fraction",
                hint="use a number between 0 and 1, or the path of a table",
            ),
        ]
        | str
    ) = 0.2
    # A column of times: with it the latest rows are held out, not a random share, and the gate's intervals
    # take into account that a row may depend on those before it.
    time: str | None = None
    # The table that the data is compared with for drift. Absent: the record of its training data that the
    # baseline's image carries.
    reference: str | None = None
    # A file of recorded requests, whose right answers nobody knows: bodies of /predict or rows, one in each
    # line, or rows as Parquet or CSV. The candidate and the baseline both answer them.
    requests: str | None = None
    # A column whose rows belong together, such as a customer: all rows of one value are on the same side of
    # the split. The model does not get it.
    group: str | None = None
    # What to do with rows whose target is missing: "error" stops the run, "drop" leaves them out.
    unlabelled: Literal["error", "drop"] = "error"
    # Values that stand for a missing one in any column, such as "unknown" or -999. Among numbers, booleans
    # and times, texts such as NA, null and ? are missing anyway.
    missing: tuple[Scalar, ...] = ()
    # The decimal sign of numbers in a CSV. Absent: a dot, or a comma where the values make that certain.
    decimal: Literal[".", ","] | None = None
    # What separates the fields of a CSV. Absent: what the first lines show.
    separator: Literal[",", ";", "\t", "|"] | None = None
    # The encoding of a CSV, such as "cp1252". Absent: UTF-8, or UTF-16 where the file begins so.
    encoding: str | None = None
    # Columns that together identify a row: no two rows may have the same values in them.
    key: tuple[str, ...] = ()
    drift: Drift = field(default_factory=Drift)
    leakage: Leakage = field(default_factory=Leakage)
    # Columns whose groups the gate compares with each other (fairness).
    sensitive: tuple[str, ...] = ()
    # Columns whose values make slices that the gate reports; it searches slices of the other columns too.
    slices: tuple[str, ...] = ()
    # Columns that the model does not get.
    exclude: tuple[str, ...] = ()
    # Rules, by the column's name.
    columns: Mapping[str, Column] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths in the source that name its tables."""
        return tuple(path for path in self._tables if "://" not in path)

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs that name its tables and requests."""
        return tuple(path for path in (*self._tables, self.requests or "") if "://" in path)

    @property
    def _tables(self) -> Iterator[str]:
        candidates = (self.path, self.holdout, self.reference)
        return (path for path in candidates if isinstance(path, str))


@dataclass(frozen=True)
class Lint:
    """[lint]: ruff check and format, and mypy where the project configures it."""

    # Whether findings stop the run. false: they are a warning. Absent: findings of a tool that the project
    # configures stop it, and those of others are a warning.
    required: bool | None = None


@dataclass(frozen=True)
class Tests:
    """[tests]: the project's own tests."""

    # Whether a whole run needs them. False: a project without tests skips the stage, and the summary says so.
    required: bool = False
    # Whether coverage is measured while they run. False: where tests measure time.
    coverage: bool = True


@dataclass(frozen=True)
class Search:
    """[train.search]: values of `train.config` to try. The best trial's model is the model."""

    # The values to try, by the key in `train.config`; every combination of them is a trial.
    parameters: Mapping[str, tuple[Scalar, ...]]
    # Which metric in the training's metrics.json decides.
    metric: str = "validation_loss"
    # Whether the least or the greatest value of that metric is the best. Absent: as its name says.
    mode: Literal["min", "max"] | None = None
    # How many combinations to try, drawn at random. Absent: all.
    trials: Annotated[int, Bounds(minimum=1, hint="use 1 or more, or remove it to try all")] | None = None


@dataclass(frozen=True)
class Node:
    """[train.node]: what each pod requests on its node, where several nodes train (--nodes)."""

    # Thousandths of a CPU core.
    cpu_millicores: Positive = 1000
    # MiB of memory; the limit too.
    memory_mb: Positive = 8192
    # GPUs, with --gpu=on.
    gpus: Positive = 1


@dataclass(frozen=True)
class Train:
    """[train]: the project's own training command, or the built-in trainer for tables."""

    # A shell command that trains. Absent: the built-in trainer.
    command: str | None = None
    # Names of [project.optional-dependencies] in pyproject.toml, which are installed for the command.
    extras: tuple[str, ...] = ()
    # The seed of the holdout's draw and of training.
    seed: int = 0
    # Seconds after which the command is stopped. Absent: no limit.
    timeout: Annotated[int, Bounds(minimum=1, hint="use 1 second or more, or remove it")] | None = None
    # Options of the built-in trainer, or any that the command reads.
    config: Mapping[str, object] = field(default_factory=dict)
    # Absent: no search, one training.
    search: Search | None = None
    node: Node = Node()


@dataclass(frozen=True)
class Gate:
    """[gates.METRIC]: the bounds that a metric must keep. At least one bound is needed."""

    # The least and the greatest value that pass.
    min: float | None = None
    max: float | None = None
    # A simple model that learns from the same rows, which the candidate must beat.
    better_than: Literal["constant", "linear", "boosting"] | None = None
    # By how much the metric may be worse than the baseline's, in the metric's unit.
    max_regression: float | None = None
    # Whether a failure stops the release. False: it is a warning.
    required: bool = True
    # The confidence of the interval that must keep the bounds, such as 0.95. Absent: the value itself
    # must, and chance decides in small holdouts. With 36 rows, accuracy with max_regression = 0.01 fails
    # 31 % of equal candidates.
    confidence: (
        Annotated[float, Bounds(minimum=0.5, below=1, hint="use 0.5 or more and less than 1, such as 0.95")]
        | None
    ) = None
    # Whether too little evidence stops the release: an interval with values on both sides of a bound. Absent:
    # what the top-level `insufficient` says, else "block" for min and max; for max_regression "block" if the
    # measured loss is larger than allowed; of the worst of many slices "allow" without a confidence.
    insufficient: Literal["block", "allow"] | None = None


@dataclass(frozen=True)
class Serve:
    """[serve]: how the image serves the model."""

    # What runs the model: ONNX Runtime, or the predictor.py that training wrote. False: no image is built.
    runtime: Literal["onnx", "python", False] = "onnx"
    # On "cuda" the image is built on the training image, and each pod requests a GPU.
    device: Literal["cpu", "cuda"] = "cpu"


@dataclass(frozen=True)
class Deploy:
    """[deploy]: how the image is released to Kubernetes."""

    # The namespace of the release; it is created where it does not exist.
    namespace: str = "default"
    # How many pods serve.
    replicas: Positive = 2
    # How a release replaces the one before it. "rolling": pod by pod, each old pod after a new one is ready.
    # "blue-green": all new pods come up beside the old ones, and one write moves the traffic to them.
    strategy: Literal["rolling", "blue-green"] = "rolling"
    # Seconds for which "blue-green" keeps the old pods after that, so that a rollback is one write too.
    keep: Annotated[int, Bounds(minimum=0)] = 300
    # Seconds for which a new release is watched in production, and taken back if it is worse. 0: not at all.
    watch: Annotated[int, Bounds(minimum=0)] = 60
    # What becomes of a release for which the watch has not enough evidence, such as one without requests.
    insufficient: Literal["keep", "back"] = "keep"
    tolerances: Tolerances = field(default_factory=Tolerances)
    # Seconds until a release that is not ready has failed, and is undone.
    timeout: Positive = 300
    # MiB of memory that each pod requests; the limit too.
    memory_mb: Positive = 512


@dataclass(frozen=True)
class Project:
    """The whole configuration of one project."""

    # The name of the model, of its image, and of the objects in the cluster: at most 53 lower-case letters,
    # digits and inner hyphens, of which the first is a letter.
    name: str
    task: Literal["classification", "regression"]
    data: Data
    # What one hour of the machine costs that the pipeline runs on, in any currency; the summary then has an
    # estimate of the run's cost.
    price_per_hour: (
        Annotated[float, Bounds(minimum=0, below=math.inf, hint="use a number of 0 or more, or remove it")]
        | None
    ) = None
    lint: Lint = Lint()
    tests: Tests = Tests()
    train: Train = Train()
    # What too little evidence does to the release in gates that do not say it themselves.
    insufficient: Literal["block", "allow"] | None = None
    # Bounds on metrics, by the metric's name. docs/gate.md has the names.
    gates: Mapping[str, Gate] = field(default_factory=dict)
    serve: Serve = Serve()
    deploy: Deploy = Deploy()
