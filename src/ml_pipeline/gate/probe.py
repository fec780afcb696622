"""Ask a running image as its users will: answers, latency, throughput and memory over HTTP."""

import contextlib
import http.client
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict
from urllib.parse import urlsplit

import numpy as np

from ml_pipeline.common.gates import Interval
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.gate import latency
from ml_pipeline.gate.arrays import Floats
from ml_pipeline.gate.documents import Instance
from ml_pipeline.model.signature import Label

READY_TIMEOUT = 60.0  # seconds until the image must answer /ready
REQUEST_TIMEOUT = 30.0
WARM_UP = 20  # requests that are not counted
REQUESTS = 500  # single rows, one after the other; fewer when they take longer than LATENCY_SECONDS
LATENCY_SECONDS = 10.0
THROUGHPUT_SECONDS = 1.0
MEGABYTE = 1e6
MEMORY = ("process_peak_memory_bytes", "process_resident_memory_bytes")
PERCENTILES = (50, 95, 99)


class Answer(TypedDict):
    """The body of an answer of /predict; a prediction is a label or a number."""

    predictions: list[Label]
    probabilities: NotRequired[list[list[float]] | None]


@dataclass(frozen=True)
class Probe:
    """The service's answers to the instances [n], in their order, and what was measured meanwhile."""

    predictions: list[Label]
    probabilities: list[list[float]] | None
    values: dict[str, float]
    missing: dict[str, str]
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    differences: Mapping[str, Interval] = field(default_factory=dict)  # to the baseline
    no_interval: Mapping[str, str] = field(default_factory=dict)


class Service:
    """One image under one URL, asked over one connection that is kept open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port or 80, timeout=REQUEST_TIMEOUT
        )

    def wait(self, path: str = "/ready") -> None:
        """Return once the path answers 200; a port that accepts is not yet a model that is loaded."""
        give_up, last = time.monotonic() + READY_TIMEOUT, "no answer"
        while time.monotonic() < give_up:
            try:
                status, _ = self.ask("GET", path)
            except (OSError, http.client.HTTPException) as error:
                last = one_line(error)
                self.connection.close()
            else:
                if status == 200:
                    return
                if status == 404:
                    hint = "use an image that speaks this project's protocol or the Open Inference one"
                    raise StageFailure(f"the image has no {path}", hint)
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

    def predict(self, instances: Sequence[Instance]) -> tuple[Answer, float]:
        """Return the answer to POST /predict and how long it took, in seconds.

        Making the request's body is not part of that time, waiting for the whole answer is.
        """
        body = json.dumps({"instances": instances}).encode()
        started = time.perf_counter()
        try:
            status, text = self.ask("POST", "/predict", body)
        except (OSError, http.client.HTTPException) as error:
            cause = f"the image closed the connection before it answered /predict: {one_line(error)}"
            raise StageFailure(cause, "run `serve` and read the image's log") from None
        seconds = time.perf_counter() - started
        if status != 200:
            cause = f"the image answered {status} to {len(instances)} holdout rows: {one_line(text)}"
            raise StageFailure(cause, "give model.json the columns of the data")
        return _checked(text, len(instances)), seconds


def measure(
    url: str, instances: Sequence[Instance], baseline: str | None = None
) -> tuple[Probe, dict[str, float]]:
    """Ask for each instance alone, then for all of them at once, then for the process's memory.

    A `baseline`'s URL is asked in turn with the candidate's, so that a machine that slows down slows both.
    Return what the candidate answered, and what was measured of the baseline: nothing if it can't be
    asked in this way. Raises StageFailure if the candidate can't.
    """
    with contextlib.ExitStack() as stack:
        candidate, *others = (_Asked.at(address, stack) for address in (url, baseline) if address)
        candidate.warm(instances)
        asked = [candidate, *(other for other in others if _answers(other, instances))]
        _one_by_one(asked, instances)
        _batches(asked, instances)
        values, missing = candidate.measured(instances)
        before = asked[1].measured(instances)[0] if len(asked) > 1 else {}
        singles = [np.asarray(each.singles) * 1000 for each in asked]
    answers = candidate.answers
    probabilities = [shares[0] for answer in answers if (shares := answer.get("probabilities"))]
    probe = Probe(
        [answer["predictions"][0] for answer in answers],
        probabilities if len(probabilities) == len(answers) else None,
        values,
        missing,
        *_intervals(singles),
    )
    return probe, before


def _intervals(
    singles: Sequence[Floats],
) -> tuple[dict[str, Interval], dict[str, Interval], dict[str, str]]:
    """Return the latencies' intervals, those of the differences to the baseline, and why others have none."""
    intervals: dict[str, Interval] = {}
    differences: dict[str, Interval] = {}
    missing: dict[str, str] = {}
    for percent in PERCENTILES:
        name = f"latency_p{percent}_ms"
        interval = latency.interval(singles[0], percent)
        if interval is None:
            asked, needed = len(singles[0]), latency.needed(percent)
            missing[name] = f"{asked:,} requests were measured, and {needed:,} are needed"
            continue
        intervals[name] = interval
        apart = latency.difference(singles[0], singles[1], percent) if len(singles) > 1 else None
        if apart:
            differences[name] = apart
    return intervals, differences, missing


@dataclass
class _Asked:
    """One image, its answers to single rows, and how long those and the batches took, in seconds."""

    service: Service
    answers: list[Answer] = field(default_factory=list)
    singles: list[float] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)

    @classmethod
    def at(cls, url: str, stack: contextlib.ExitStack) -> "_Asked":
        """Connect; the stack closes."""
        service = Service(url)
        stack.enter_context(contextlib.closing(service.connection))
        return cls(service)

    def warm(self, instances: Sequence[Instance]) -> None:
        """Wait until it is ready, and ask it everything once; raises StageFailure where it refuses."""
        self.service.wait()
        for index in range(WARM_UP):
            self.service.predict([instances[index % len(instances)]])
        self.service.predict(instances)

    def measured(self, instances: Sequence[Instance]) -> tuple[dict[str, float], dict[str, str]]:
        """Return metric → value, and of what has none why."""
        values = _percentiles("latency", self.singles) | _percentiles("batch_latency", self.batches)
        values["throughput_rows_per_s"] = len(instances) * len(self.batches) / sum(self.batches)
        memory = _memory(self.service)
        if memory is None:
            return values, {"memory_mb": f"the image's /metrics names none of {', '.join(MEMORY)}"}
        return values | {"memory_mb": memory / MEGABYTE}, {}


def _answers(baseline: _Asked, instances: Sequence[Instance]) -> bool:
    """Say whether a baseline can be asked what the candidate is asked; print why not."""
    try:
        baseline.warm(instances)
    except StageFailure as failure:
        print(f"the running baseline is not measured: {failure.cause}")
        return False
    return True


def _one_by_one(every: Sequence[_Asked], instances: Sequence[Instance]) -> None:
    """Ask each instance alone, and again from the first on while there is time."""
    give_up = time.monotonic() + LATENCY_SECONDS * len(every)
    for index in range(max(REQUESTS, len(instances))):
        if index >= len(instances) and time.monotonic() > give_up:
            break
        for asked in every:
            answer, took = asked.service.predict([instances[index % len(instances)]])
            asked.singles.append(took)
            if index < len(instances):
                asked.answers.append(answer)


def _batches(every: Sequence[_Asked], instances: Sequence[Instance]) -> None:
    """Ask for all instances at once, over and over."""
    while any(sum(asked.batches) < THROUGHPUT_SECONDS for asked in every):
        for asked in every:
            _, took = asked.service.predict(instances)
            asked.batches.append(took)


def _percentiles(name: str, seconds: Sequence[float]) -> dict[str, float]:
    percentiles = np.percentile(np.asarray(seconds) * 1000, PERCENTILES)
    return {f"{name}_p{p}_ms": float(value) for p, value in zip(PERCENTILES, percentiles, strict=True)}


def _memory(service: Service) -> float | None:
    """Return the peak of the serving process in bytes (else what it holds now), from the Prometheus text."""
    status, text = service.ask("GET", "/metrics")
    samples: dict[str, float] = {}
    for line in text.decode(errors="replace").splitlines() if status == 200 else ():
        name, _, value = line.partition(" ")
        if name in MEMORY:
            samples[name] = float(value.split()[0])
    return next((samples[name] for name in MEMORY if math.isfinite(samples.get(name, math.nan))), None)


def _checked(text: bytes, rows: int) -> Answer:
    try:
        answer: Answer = json.loads(text)
        predictions = answer["predictions"]
        shares = answer.get("probabilities")
        counts = [len(predictions), *([len(shares)] if shares else [])]
    except (ValueError, KeyError, TypeError):
        raise StageFailure(
            f"the image's answer to /predict has no predictions: {one_line(text)}",
            "make it answer as docs/serving.md says",
        ) from None
    if any(count != rows for count in counts):
        cause = f"the image answered {len(predictions)} predictions to {rows} rows"
        raise StageFailure(cause, "return one prediction a row, in the rows' order")
    return answer
