"""What the server takes at most, from its settings: environment variables, as containers have them."""

import os
from dataclasses import dataclass

from ml_pipeline.common.outcome import StageFailure

VALUES = 100  # probabilities for each row of ML_MAX_ROWS; with more classes a request may have fewer rows


@dataclass(frozen=True)
class Limits:
    """The limits of requests and of connections; see the help of `serve`."""

    queue: int  # requests that may wait in a burst
    standing: int  # requests that may wait under sustained overload
    max_body: int  # bytes of one body
    max_bodies: int  # bytes of all long bodies that are under way
    max_rows: int  # rows of one request
    connections: int
    silence: float  # seconds

    def rows(self, classes: int) -> int:
        """Return how many rows a request to a model of so many classes may have."""
        return max(1, min(self.max_rows, self.max_rows * VALUES // max(1, classes)))


def read() -> Limits:
    """Read the limits. Raises `StageFailure`."""
    max_body = int(setting("ML_MAX_BODY", 8 << 20, 1))
    return Limits(
        queue=int(setting("ML_QUEUE", 64, 0)),
        standing=int(setting("ML_STANDING", 16, 1)),
        max_body=max_body,
        max_bodies=max(max_body, int(setting("ML_MAX_BODIES", 32 << 20, 1))),
        max_rows=int(setting("ML_MAX_ROWS", 10_000, 1)),
        connections=int(setting("ML_CONNECTIONS", 1000, 16)),
        silence=setting("ML_SILENCE", 10, 0.1),
    )


def setting(name: str, default: float, least: float) -> float:
    """Return the number in an environment variable. Raises `StageFailure`."""
    text = os.environ.get(name, "")
    try:
        value = float(text or default)
    except ValueError:
        value = least - 1
    if not least <= value < float("inf"):
        raise StageFailure(
            f"{name}={text} is not a number of at least {least:g}", f"correct it; the default is {default:g}"
        )
    return value
