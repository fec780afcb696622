"""Ask a running image as its users will: answers, latency, throughput and memory over HTTP."""

import contextlib
import http.client
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ml_pipeline.stages.outcome import StageFailure

READY_TIMEOUT = 60.0  # seconds until the image must answer /ready
REQUEST_TIMEOUT = 30.0
WARM_UP = 20  # requests that are not counted
REQUESTS = 500  # single rows, one after the other; fewer when they take longer than LATENCY_SECONDS
LATENCY_SECONDS = 10.0
THROUGHPUT_SECONDS = 1.0
MEGABYTE = 1e6
MEMORY = ("process_peak_memory_bytes", "process_resident_memory_bytes")
PERCENTILES = (50, 95, 99)
LATENCIES = tuple(f"{what}_p{p}_ms" for what in ("latency", "batch_latency") for p in PERCENTILES)
MEASURES = (*LATENCIES, "throughput_rows_per_s", "memory_mb")


@dataclass(frozen=True)
class Probe:
    """The service's answers to the instances [n], in their order, and what was measured meanwhile."""

    predictions: list[Any]
    probabilities: list[Any] | None
    values: dict[str, float]
    missing: dict[str, str]


class Service:
    """One image under one URL, asked over one connection that is kept open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port or 80, timeout=REQUEST_TIMEOUT
        )

    def wait(self) -> None:
        """Return once /ready answers 200; a port that accepts is not yet a model that is loaded."""
        give_up, last = time.monotonic() + READY_TIMEOUT, "no answer"
        while time.monotonic() < give_up:
            try:
                status, _ = self.ask("GET", "/ready")
            except (OSError, http.client.HTTPException) as error:
                last = str(error) or type(error).__name__
                self.connection.close()
            else:
                if status == 200:
                    return
                last = f"status {status}"
            time.sleep(0.1)
        cause = f"the image was not ready within {READY_TIMEOUT:g} s ({last})"
        raise StageFailure(cause, "run `serve` and read the image's log")

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Send one request; return status and body."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self.connection.request(method, path, body=body, headers=headers)
        response = self.connection.getresponse()
        return response.status, response.read()

    def predict(self, instances: Sequence[Any]) -> tuple[dict[str, Any], float]:
        """Return the answer to POST /predict and how long it took, in seconds.

        Making the request's body is not part of that time, waiting for the whole answer is.
        """
        body = json.dumps({"instances": instances}).encode()
        started = time.perf_counter()
        try:
            status, text = self.ask("POST", "/predict", body)
        except (OSError, http.client.HTTPException) as error:
            cause = f"the image broke off while it answered /predict: {type(error).__name__} {error}".strip()
            raise StageFailure(cause, "run `serve` and read the image's log") from None
        seconds = time.perf_counter() - started
        if status != 200:
            told = " ".join(text.decode(errors="replace").split())[:300]
            cause = f"the image answered {status} to {len(instances)} holdout rows: {told}"
            raise StageFailure(cause, "make the columns of model.json fit the data")
        return _checked(text, len(instances)), seconds


def measure(url: str, instances: Sequence[Any]) -> Probe:
    """Ask for each instance alone, then for all of them at once, then for the process's memory."""
    service = Service(url)
    with contextlib.closing(service.connection):
        service.wait()
        answers, values = _one_by_one(service, instances)
        values |= _batches(service, instances)
        memory = _memory(service)
    missing = {}
    if memory is None:
        missing["memory_mb"] = f"the image's /metrics names none of {', '.join(MEMORY)}"
    else:
        values["memory_mb"] = memory / MEGABYTE
    probabilities = [answer["probabilities"][0] for answer in answers if answer.get("probabilities")]
    return Probe(
        [answer["predictions"][0] for answer in answers],
        probabilities if len(probabilities) == len(answers) else None,
        values,
        missing,
    )


def _one_by_one(service: Service, instances: Sequence[Any]) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Return the answer to each instance asked alone, and the latencies of single rows."""
    for index in range(WARM_UP):
        service.predict([instances[index % len(instances)]])
    answers, seconds = [], []
    give_up = time.monotonic() + LATENCY_SECONDS
    for index in range(max(REQUESTS, len(instances))):
        if index >= len(instances) and time.monotonic() > give_up:
            break
        answer, took = service.predict([instances[index % len(instances)]])
        seconds.append(took)
        if index < len(instances):
            answers.append(answer)
    return answers, _percentiles("latency", seconds)


def _batches(service: Service, instances: Sequence[Any]) -> dict[str, float]:
    """Ask for all instances at once, over and over; return the latencies of that, and rows a second."""
    seconds: list[float] = []
    while sum(seconds) < THROUGHPUT_SECONDS:
        _, took = service.predict(instances)
        seconds.append(took)
    rate = len(instances) * len(seconds) / sum(seconds)
    return {"throughput_rows_per_s": rate, **_percentiles("batch_latency", seconds)}


def _percentiles(name: str, seconds: Sequence[float]) -> dict[str, float]:
    found = np.percentile(np.asarray(seconds) * 1000, PERCENTILES)
    return {f"{name}_p{p}_ms": float(value) for p, value in zip(PERCENTILES, found, strict=True)}


def _memory(service: Service) -> float | None:
    """Return the peak of the serving process in bytes (else what it holds now), from the Prometheus text."""
    status, text = service.ask("GET", "/metrics")
    samples: dict[str, float] = {}
    for line in text.decode(errors="replace").splitlines() if status == 200 else ():
        name, _, value = line.partition(" ")
        if name in MEMORY:
            samples[name] = float(value.split()[0])
    return next((samples[name] for name in MEMORY if math.isfinite(samples.get(name, math.nan))), None)


def _checked(text: bytes, rows: int) -> dict[str, Any]:
    try:
        answer = json.loads(text)
        predictions = answer["predictions"]
        counts = [len(predictions), *([len(answer["probabilities"])] if answer.get("probabilities") else [])]
    except (ValueError, KeyError, TypeError):
        told = " ".join(text.decode(errors="replace").split())[:200]
        raise StageFailure(
            f"the image's answer to /predict has no predictions: {told}", "let it answer as the README says"
        ) from None
    if any(count != rows for count in counts):
        cause = f"the image answered {len(predictions)} predictions to {rows} rows"
        raise StageFailure(cause, "return one prediction a row, in the rows' order")
    checked: dict[str, Any] = answer
    return checked
