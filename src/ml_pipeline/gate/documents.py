"""The documents that the gate reads: its settings, sampled requests, metrics."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from ml_pipeline.common.gates import Gate
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model.signature import Label

Value = str | int | float | bool | None  # of a column, in JSON
Instance = dict[str, Value]  # one row of a body of /predict


class GateKeys(TypedDict, total=False):
    """A gate's keys in the configuration."""

    min: float
    max: float
    max_regression: float
    required: bool
    confidence: float
    insufficient: Literal["block", "allow"]
    better_than: Literal["constant", "linear", "boosting"]


class Settings(TypedDict):
    """The gate's part of the configuration."""

    task: Literal["classification", "regression"]
    target: str
    positive: NotRequired[Label | None]
    gates: NotRequired[Mapping[str, GateKeys]]
    sensitive: NotRequired[list[str]]
    slices: NotRequired[list[str]]
    group: NotRequired[str | None]
    time: NotRequired[str | None]


class Requests(TypedDict):
    """requests.json: sampled rows of the holdout, and their numbers in it."""

    rows: list[int]
    instances: list[Instance]


def gates(settings: Mapping[str, GateKeys]) -> tuple[Gate, ...]:
    """Return the gates of the settings' table, metric → keys, in its order."""
    return tuple(Gate(metric, **keys) for metric, keys in settings.items())


def read_json(path: Path) -> Any:
    """Read a JSON object. Any: the caller knows which document this is."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StageFailure(f"{path.name} can't be read: {error}", "run the stage that writes it") from None
    if not isinstance(document, dict):
        raise StageFailure(f"{path.name} is not one JSON object", "run the stage that writes it")
    return document


def reported(path: Path | None) -> dict[str, float]:
    """Read the training's own metrics.json; nothing if there is none."""
    metrics = read_json(path) if path is not None and path.exists() else {}
    for name, value in metrics.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            cause = f"metrics.json has {name!r} = {json.dumps(value)[:60]}, which is not a number"
            raise StageFailure(cause, "make the training write a number for each name")
    return {name: float(value) for name, value in metrics.items()}
