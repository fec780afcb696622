"""Pods that answer as the server's image does, with rates that a test plants."""

import json
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_pipeline.cluster.errors import NoAnswer, Refused, Unreachable
from ml_pipeline.serving.figures import Figures

DOWN = "the API server answers 503: error trying to reach service: dial tcp 10.0.0.1:8000: connect: refused"


@dataclass
class Pod:
    """One pod's server. Callers send it `requests` between two reads of its /metrics."""

    requests: int = 25
    errors: float = 0.0
    slow: float = 0.02
    yes: float = 0.3
    answer: Any = "no"
    code: int = 200  # of requests that the watch sends
    generator: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311
    asked: "list[Any]" = field(default_factory=list)
    only_codes: bool = False  # an image that does not count times and classes
    figures: Figures = field(default_factory=lambda: Figures("club", "1", ["no", "yes"]))

    def restart(self) -> None:
        self.figures = Figures("club", "1", ["no", "yes"])

    def serve(self) -> None:
        """Answer what callers send until the next read."""
        for _ in range(self.requests):
            is_error = self.generator.random() < self.errors
            is_slow = self.generator.random() < self.slow
            self.figures.request("/predict", 500 if is_error else 200, 0.2 if is_slow else 0.004)
            if not is_error:
                self.figures.predicted(["yes" if self.generator.random() < self.yes else "no"])

    def text(self) -> str:
        self.serve()
        text = self.figures.text(0, running=False)
        lines = [line for line in text.splitlines() if not self.only_codes or "ml_requests_total" in line]
        return "\n".join(lines) + "\n"

    def predict(self, body: Any) -> tuple[int, bytes]:
        self.asked.append(body)
        self.figures.request("/predict", self.code, 0.004)
        return self.code, json.dumps({"predictions": [self.answer]}).encode()


class Pods:
    """Pods by name: `ask` is the cluster's. What it lacks is gone; `down` refuse, `silent` hang."""

    def __init__(self, pods: Mapping[str, Pod]) -> None:
        self.pods = dict(pods)
        self.down: set[str] = set()
        self.silent: set[str] = set()
        self._lock = threading.Lock()  # several threads ask
        self.metrics_code = 200
        self.api_is_up = True

    def ask(self, pod: str, _port: int, path: str, body: Any = None, **_: object) -> tuple[int, bytes]:
        with self._lock:
            return self._answer(pod, path, body)

    def _answer(self, pod: str, path: str, body: Any) -> tuple[int, bytes]:
        if not self.api_is_up:
            raise Unreachable("the API server https://x is not reachable: timed out", "check it")
        if pod not in self.pods:
            raise Refused(f'the cluster refuses (404): pods "{pod}" not found', "", 404)
        if pod in self.down:
            raise Unreachable(DOWN, "try again when the cluster works")
        if pod in self.silent:
            raise NoAnswer(f"pod {pod} does not answer within 3 s", "fix it")
        if path == "/metrics":
            return self.metrics_code, self.pods[pod].text().encode() if self.metrics_code == 200 else b"?"
        if path == "/model":
            return 200, b'{"example": {"age": 37}}'
        return self.pods[pod].predict(body)
