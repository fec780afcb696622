"""`[tool.ml-pipeline]` as frozen objects; pure: text in, objects or ConfigError out.

The classes below are the schema: a field's name is its key, its annotation the type
that TOML must have, its default what an absent key means.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ml_pipeline.errors import ConfigError
from ml_pipeline.measures import MEASURES, Measure
from ml_pipeline.typed_toml import Reader

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
    """What values of one column are allowed; rules that are None are not checked."""

    type: Literal["integer", "number", "string", "boolean", "datetime"] | None = None
    min: float | None = None
    max: float | None = None
    nullable: bool = True
    allowed: tuple[Scalar, ...] | None = None
    pattern: str | None = None
    unique: bool = False
    max_missing: float | None = None
    drift: ColumnDrift | None = None


@dataclass(frozen=True)
class Data:
    """Where the rows are, what is predicted, and how rows are kept back."""

    path: str
    target: str
    positive: Scalar | None = None
    holdout: float | str = 0.2
    time: str | None = None
    reference: str | None = None
    key: tuple[str, ...] = ()
    drift: Drift = Drift()
    leakage: Leakage = Leakage()
    sensitive: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    columns: Mapping[str, Column] = field(default_factory=dict)


@dataclass(frozen=True)
class Train:
    """The user's command, or none for the built-in tabular trainer."""

    command: str | None = None
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)


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
    """What runs in the image; False: the model is not served."""

    runtime: Literal["onnx", "python", False] = "onnx"


@dataclass(frozen=True)
class Deploy:
    """Where a release goes and how."""

    namespace: str = "default"
    replicas: int = 2
    strategy: Literal["rolling", "blue-green", "canary"] = "rolling"
    timeout: int = 300


@dataclass(frozen=True)
class Project:
    """One project's whole configuration."""

    name: str
    task: Literal["classification", "regression"]
    data: Data
    train: Train = Train()
    gates: Mapping[str, Gate] = field(default_factory=dict)
    serve: Serve = Serve()
    deploy: Deploy = Deploy()


def parse(pyproject: str | None, ml_pipeline: str | None) -> Project:
    """Read the configuration from the texts of the two files that may hold it (None: no such file).

    Raises ConfigError, whose one line names the file and the key.
    """
    tables = {}
    for file, text in (("ml-pipeline.toml", ml_pipeline), ("pyproject.toml", pyproject)):
        if text is None:
            continue
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{file} is not TOML: {error}", "mend that line") from None
        table = document if file == "ml-pipeline.toml" else document.get("tool", {}).get("ml-pipeline")
        if table is not None:
            tables[file] = table
    if len(tables) > 1:
        both = "both ml-pipeline.toml and pyproject.toml configure the pipeline"
        raise ConfigError(both, "keep one of them")
    if not tables:
        raise ConfigError(
            "neither ml-pipeline.toml nor [tool.ml-pipeline] in pyproject.toml was found in the source",
            "write one (the README shows fifteen lines) or point --source at the project's folder",
        )
    ((file, table),) = tables.items()
    root = "tool.ml-pipeline" if file == "pyproject.toml" else ""
    project: Project = Reader(file).section(Project, table, root)
    for cause, hint in _contradictions(project):
        raise ConfigError(f"{file}: {cause}", hint)
    return project


def _contradictions(project: Project) -> Iterator[tuple[str, str]]:
    """Yield what no single key can tell, as cause and hint."""
    for key, label in (("name", project.name), ("deploy.namespace", project.deploy.namespace)):
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?", label):
            hint = "use at most 53 lower-case letters, digits and inner hyphens"
            yield f"{key} = {label!r} is no DNS label", hint
    yield from _data_contradictions(project)
    for name, gate in project.gates.items():
        yield from _gate_contradictions(f"gates.{name}", gate, MEASURES.get(name))
    if project.deploy.replicas < 1:
        yield f"deploy.replicas = {project.deploy.replicas}", "use 1 or more"


def _gate_contradictions(key: str, gate: Gate, measure: Measure | None) -> Iterator[tuple[str, str]]:
    if gate.min is None and gate.max is None and gate.max_regression is None:
        yield f"{key} has no bound", "give it min, max or max_regression"
    if _crossed(gate):
        yield f"{key} has min = {gate.min} above max = {gate.max}", "no model can pass; swap them"
    if gate.confidence is not None and not 0.5 <= gate.confidence < 1:
        yield f"{key}.confidence = {gate.confidence}", "use 0.5 or more and less than 1, such as 0.95"
    if gate.confidence is not None and measure and not measure.has_interval:
        yield f"{key} has a confidence, but what it measures has no interval", "remove the key"
    searches = measure is not None and measure.kind == "slice"
    if gate.insufficient is not None and gate.confidence is None and not searches:
        yield f"{key}.insufficient is for gates with a confidence", "add confidence = 0.95, or remove it"


def _data_contradictions(project: Project) -> Iterator[tuple[str, str]]:
    data = project.data
    if isinstance(data.holdout, float | int) and not 0 < data.holdout < 1:
        yield f"data.holdout = {data.holdout} is no fraction", "use a number between 0 and 1, or a path"
    yield from _limits("data.drift", data.drift)
    yield from _shares("data.leakage", {"score": data.leakage.score, "shared": data.leakage.shared})
    for key, path in (
        ("data.path", data.path), ("data.holdout", data.holdout), ("data.reference", data.reference)
    ):  # fmt: skip
        if isinstance(path, str) and (path.startswith("/") or ".." in path.split("/")):
            yield f"{key} = {path!r} leaves the source", "use a path inside the project's folder"
    if data.target in data.exclude:
        yield f"data.exclude names the target {data.target!r}", "take it out of the list"
    if project.task == "regression" and data.positive is not None:
        yield "data.positive is for classification", 'remove it, or set task = "classification"'
    for name, column in data.columns.items():
        key = f"data.columns.{name}"
        if column.drift:
            yield from _limits(f"{key}.drift", column.drift)
        if _crossed(column):
            yield f"{key} has min = {column.min} above max = {column.max}", "swap them"
        if column.pattern is not None and not _compiles(column.pattern):
            yield f"{key}.pattern = {column.pattern!r} is no regular expression", "mend it"


def _limits(key: str, drift: Drift | ColumnDrift) -> Iterator[tuple[str, str]]:
    yield from _shares(key, {"alpha": drift.alpha})
    if drift.threshold is not None and not drift.threshold >= 0:
        yield f"{key}.threshold = {drift.threshold}", "use 0 or more; inf where nothing counts as drift"


def _shares(key: str, values: Mapping[str, float | None]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if value is not None and not 0 <= value <= 1:
            yield f"{key}.{name} = {value}", "use a number between 0 and 1"


def _crossed(bounds: Gate | Column) -> bool:
    return bounds.min is not None and bounds.max is not None and bounds.min > bounds.max


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
