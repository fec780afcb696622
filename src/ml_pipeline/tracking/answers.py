"""What an MLflow server answers, as far as it is read; other keys are ignored."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunInfo:
    """A run's own fields, as MLflow answers them; `start_time` is in milliseconds."""

    run_id: str
    artifact_uri: str
    start_time: int
    status: str = ""
    lifecycle_stage: str = "active"


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model, by MLflow's count, and the run whose artifacts it has."""

    version: str | int
    run_id: str = ""


@dataclass(frozen=True)
class Versions:
    """The answer to model-versions/search."""

    model_versions: tuple[ModelVersion, ...] = ()


@dataclass(frozen=True)
class VersionCreated:
    """The answer to model-versions/create."""

    model_version: ModelVersion


@dataclass(frozen=True)
class Alias:
    """A name of one version."""

    alias: str
    version: str | int


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model's aliases."""

    aliases: tuple[Alias, ...] = ()


@dataclass(frozen=True)
class ModelAnswer:
    """The answer to registered-models/get."""

    registered_model: RegisteredModel = RegisteredModel()


@dataclass(frozen=True)
class Experiment:
    """An experiment, as MLflow answers it."""

    experiment_id: str
    lifecycle_stage: str
    artifact_location: str


@dataclass(frozen=True)
class ExperimentAnswer:
    """The answer to experiments/get-by-name."""

    experiment: Experiment


@dataclass(frozen=True)
class Entry:
    """A tag, or a metric's last value."""

    key: str
    value: str | float = ""


@dataclass(frozen=True)
class RunData:
    """What a run has so far."""

    tags: tuple[Entry, ...] = ()
    metrics: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class LoggedRun:
    """A run on the server."""

    info: RunInfo
    data: RunData = RunData()


@dataclass(frozen=True)
class Runs:
    """The answer to runs/search."""

    runs: tuple[LoggedRun, ...] = ()


@dataclass(frozen=True)
class OneRun:
    """The answer to runs/create and runs/get."""

    run: LoggedRun


@dataclass(frozen=True)
class Step:
    """A point of a metric's history."""

    step: int | str = 0


@dataclass(frozen=True)
class Steps:
    """The answer to metrics/get-history."""

    metrics: tuple[Step, ...] = ()
