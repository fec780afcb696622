"""What is known of a run, as one document: frozen dataclasses, written as JSON and read from it.

`Run` in engine/run.py collects it, `pipeline.json` and `report.json` hold it, and the summary, the report and
the tracker read it. Every part may be missing: a run can end early. Standard library only.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ml_pipeline.common import reading

T = TypeVar("T")

Details = Mapping[str, object]  # a document whose keys the stage that writes it knows


@dataclass(frozen=True)
class StageRecord:
    """A stage that ran. `cached` is None if the engine does not say; `seconds` None after a crash."""

    stage: str
    status: str = "passed"  # or failed, or skipped: it had nothing to do
    seconds: float | None = None
    cached: bool | None = None
    message: str = ""  # why it failed or was skipped, one line
    hint: str = ""  # what to do, one line


@dataclass(frozen=True)
class Image:
    """A published image."""

    reference: str | None = None  # by digest, as HOST/NAME:VERSION@sha256:…
    digest: str | None = None
    size_mb: float | None = None


@dataclass(frozen=True)
class ReleaseRecord:
    """What a release or a rollback did in the cluster; release/deploy.py writes it."""

    action: str = ""  # created, updated, unchanged or rolled-back
    name: str = ""
    namespace: str = ""
    revision: int | None = None  # of the Deployment
    image: str = ""
    digest: str | None = None
    previous_image: str | None = None
    version: str | None = None  # of the model
    replicas: int | None = None
    ready: int | None = None  # pods
    prediction: Details = field(default_factory=dict)  # request and answer
    seconds: float | None = None
    strategy: str | None = None
    deployment: str | None = None  # the name of the Deployment that serves
    notes: tuple[str, ...] = ()  # what an earlier call left, and what this one did about it
    watch: Details = field(default_factory=dict)  # release/watch.py's outcome; empty if it was not watched


@dataclass(frozen=True)
class Tracking:
    """The run on the MLflow server; `version` and `champion` are numbers of its model registry."""

    run: str = ""
    url: str = ""
    version: str | None = None
    champion: str | None = None


@dataclass(frozen=True)
class Lint:
    """What judged the project's code: versions and numbers of findings by the tool."""

    versions: Mapping[str, str] = field(default_factory=dict)
    findings: Mapping[str, int] = field(default_factory=dict)
    warning: str = ""  # findings that do not fail the stage


@dataclass(frozen=True)
class ProjectTests:
    """The project's own tests; `failures` are names, `coverage` the percentage of lines."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: tuple[str, ...] = ()
    coverage: float | None = None
    version: str = ""  # of pytest


@dataclass(frozen=True)
class Split:
    """The rows of training and holdout, and the digests of the tables they are from."""

    train_rows: int | None = None
    holdout_rows: int | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)  # data → digest, holdout → digest


@dataclass(frozen=True)
class Trial:
    """One trial of a search; `value` is None if it failed."""

    number: int = 0
    parameters: Details = field(default_factory=dict)
    status: str = "passed"
    value: float | None = None
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class Search:
    """A search of train.search; `best` is a trial's number, `mode` min or max."""

    metric: str = ""
    mode: str = ""
    best: int = 0
    trials: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class Training:
    """What the train stage reports; the built-in trainer adds the last four."""

    device: str | None = None  # cpu or cuda
    trainer: str | None = None  # built-in or command
    gpus: tuple[str, ...] = ()
    processes: int | None = None
    search: Search | None = None
    wrote: tuple[str, ...] = ()  # paths in ML_OUTPUT
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    weights: str | None = None  # their digest
    onnx_difference: float | None = None
    unused: tuple[str, ...] = ()  # columns


@dataclass(frozen=True)
class RunDocument:
    """A run. `data`, `model` and `verdict` are the documents of data/, model/ and gate/."""

    name: str = ""
    status: str = "passed"  # or failed
    revision: str | None = None  # the git commit of the source
    gpu: str | None = None  # the training's device, as cpu or cuda (2x NVIDIA H200)
    started: float | None = None  # seconds since the epoch
    seconds: float | None = None
    price_per_hour: float | None = None
    notes: tuple[str, ...] = ()
    stages: tuple[StageRecord, ...] = ()
    image: Image | None = None
    release: ReleaseRecord | None = None
    tracking: Tracking | None = None
    lint: Lint | None = None
    tests: ProjectTests | None = None
    data: Details = field(default_factory=dict)
    split: Split | None = None
    training: Training | None = None
    model: Details = field(default_factory=dict)
    verdict: Details = field(default_factory=dict)


PARTS = ("image", "release", "tracking", "lint", "tests", "data", "split", "training", "model", "verdict")


def as_json(run: RunDocument) -> dict[str, object]:
    """Return the document as JSON holds it, without the parts that the run does not have."""
    whole = dataclasses.asdict(run)
    return {key: value for key, value in whole.items() if value or key not in PARTS}


def from_json(document: Mapping[str, object]) -> RunDocument:
    """Return the run that a JSON document describes; what is absent or null is a part that it does not have.

    Raises DocumentError for a value of a wrong type.
    """
    return part(RunDocument, {key: value for key, value in document.items() if value is not None}, "run")


def part(kind: type[T], document: object, name: str) -> T:
    """Return a part of a run, whoever wrote it: a newer version's keys are ignored. Raises DocumentError."""
    return reading.read(kind, document, name, ignore_unknown=True)
