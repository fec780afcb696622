"""One project's configuration as frozen objects.

The classes are the schema of `[tool.ml-pipeline]`: a field's name is its key, its annotation
the type that TOML must have, its default what an absent key means.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Scalar = str | int | float | bool


Effect = Literal["wasserstein", "psi", "jensen_shannon"]


@dataclass(frozen=True)
class Drift:
    """When a column counts as drifted: significant at `alpha` and moved by `threshold` of its effect.

    The effect of numbers is the Wasserstein distance in standard deviations, of categories the
    Jensen-Shannon distance, unless one is named.
    """

    alpha: float = 0.05
    threshold: float = 0.1
    effect: Effect | None = None
    action: Literal["warn", "stop"] = "warn"


@dataclass(frozen=True)
class ColumnDrift:
    """One column's own idea of drift; what is None is as for all."""

    alpha: float | None = None
    threshold: float | None = None
    effect: Effect | None = None


@dataclass(frozen=True)
class Leakage:
    """When the data gives its answers away.

    `score`: a column alone tells that share of the target. `shared`: that share of a holdout file's
    rows are training rows too.
    """

    score: float = 0.95
    shared: float = 0.05
    action: Literal["warn", "stop"] = "warn"


@dataclass(frozen=True)
class Column:
    """What values of one column are allowed; rules that are None are not checked.

    Bounds of times are texts, such as "2024-01-01".
    """

    type: Literal["integer", "number", "string", "boolean", "datetime"] | None = None
    min: float | str | None = None
    max: float | str | None = None
    nullable: bool = True
    allowed: tuple[Scalar, ...] | None = None
    pattern: str | None = None
    unique: bool = False
    max_missing: float | None = None
    drift: ColumnDrift | None = None


@dataclass(frozen=True)
class Data:
    """Where the rows are, what is predicted, and how rows are kept back.

    `path`, and `holdout` and `reference` where they are paths, are in the source, or s3://BUCKET/KEY; so
    are `requests`, a recorded sample without answers, which candidate and baseline answer side by side.
    """

    path: str
    target: str
    positive: Scalar | None = None
    holdout: float | str = 0.2
    time: str | None = None
    reference: str | None = None
    requests: str | None = None
    key: tuple[str, ...] = ()
    drift: Drift = Drift()
    leakage: Leakage = Leakage()
    sensitive: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
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
        named = (self.path, self.holdout, self.reference)
        return (path for path in named if isinstance(path, str))


@dataclass(frozen=True)
class Search:
    """What is tried for `train.config`: every combination, or `trials` of them drawn at random.

    The best by `metric`, a name in the training's metrics.json, is the model.
    """

    parameters: Mapping[str, tuple[Scalar, ...]]
    metric: str = "validation_loss"
    mode: Literal["min", "max"] = "min"
    trials: int | None = None


@dataclass(frozen=True)
class Node:
    """What a node must have free for its pod, where several train (--nodes): requests, and memory's limit."""

    cpu_millicores: int = 1000
    memory_mb: int = 8192
    gpus: int = 1  # with --gpu=on


@dataclass(frozen=True)
class Train:
    """The user's command, or none for the built-in tabular trainer.

    `extras` of the project's [project.optional-dependencies] are installed for the command, and `timeout`
    seconds end it.
    """

    command: str | None = None
    extras: tuple[str, ...] = ()
    seed: int = 0
    timeout: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    search: Search | None = None
    node: Node = Node()


@dataclass(frozen=True)
class Gate:
    """A bound on one metric; `max_regression` is how much worse than the baseline is allowed.

    `confidence`, such as 0.95: not the point but its interval must keep the bound. `insufficient`: whether
    an interval on both sides of it blocks (the default; of the worst of many slices it must be asked for).
    """

    min: float | None = None
    max: float | None = None
    max_regression: float | None = None
    required: bool = True
    confidence: float | None = None
    insufficient: Literal["block", "allow"] | None = None


@dataclass(frozen=True)
class Serve:
    """What runs in the image, and on what; False: the model is not served.

    On "cuda" the image is built on the training image, and each pod asks for a GPU.
    """

    runtime: Literal["onnx", "python", False] = "onnx"
    device: Literal["cpu", "cuda"] = "cpu"


@dataclass(frozen=True)
class Deploy:
    """Where a release goes and how; `memory_mb` is what each pod requests, and its limit."""

    namespace: str = "default"
    replicas: int = 2
    strategy: Literal["rolling", "blue-green", "canary"] = "rolling"
    timeout: int = 300
    memory_mb: int = 512


@dataclass(frozen=True)
class Project:
    """One project's whole configuration.

    `price_per_hour` is what an hour of the machine that the pipeline runs on costs, in any currency; it is
    for the summary's estimate.
    """

    name: str
    task: Literal["classification", "regression"]
    data: Data
    price_per_hour: float | None = None
    train: Train = Train()
    gates: Mapping[str, Gate] = field(default_factory=dict)
    serve: Serve = Serve()
    deploy: Deploy = Deploy()
