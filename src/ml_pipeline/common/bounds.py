"""Gates as the configuration has them."""

from collections.abc import Mapping
from typing import Literal, TypedDict

from ml_pipeline.common.rules import Gate


class Bounds(TypedDict, total=False):
    """A gate's keys in the configuration."""

    min: float
    max: float
    max_regression: float
    required: bool
    confidence: float
    insufficient: Literal["block", "allow"]


def gates_from(settings: Mapping[str, Bounds]) -> tuple[Gate, ...]:
    """Return the gates of the settings' table, metric → bounds, in its order."""
    return tuple(Gate(metric, **bounds) for metric, bounds in settings.items())
