"""What pods counted between looks at their /metrics, which are read through the API server.

An image keeps the names of its metrics (serving/figures.py), but an older one, or another server, may lack
some: these are None here. A pod whose counters went back was started again, and counts from 0.
"""

import concurrent.futures
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from ml_pipeline.cluster.errors import NoAnswer, Refused, Unreachable
from ml_pipeline.cluster.fields import Json, Object
from ml_pipeline.release.evidence import Count
from ml_pipeline.serving.contract import PORT

PREDICTIONS = ("/predict", "/v2/models/NAME/infer")  # the values of `path` in ml_requests_total
CLOSED_BY_CALLER = 499
PATIENCE_S = 3.0  # for an answer of a pod; a pod that hangs must not hold up the looks at the others
AT_ONCE = 8  # pods that are asked
ENOUGH = 2000  # predictions during a release that tell more than all that the old pods ever counted

K = TypeVar("K")
T = TypeVar("T")
Answer = tuple[int, bytes]

_SAMPLE = re.compile(
    r'^(ml_\w+)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\d+(?:\.\d+)?(?:e[+-]?\d+)?)$', re.MULTILINE
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Pods(Protocol):
    """Sends requests to pods, as `Cluster` does."""

    def ask(
        self, pod: str, port: int, path: str, body: Json = None, *, patience_s: float = 0
    ) -> tuple[int, bytes]:
        """Return the status and the body of the pod's answer; several threads may ask at once."""


@dataclass(frozen=True)
class Counters:
    """What servers counted. None: at least one of them does not count it."""

    codes: Mapping[int, float] | None = None  # answers to predictions, by status
    buckets: Mapping[float, float] | None = None  # right answers that took up to so many seconds
    classes: Mapping[str, float] | None = None  # rows, by predicted class

    @property
    def answers(self) -> float:
        """How many predictions were answered, in any way."""
        return sum((self.codes or {}).values())

    @property
    def errors(self) -> Count | None:
        """Answers that are errors; a caller that went away is not one."""
        if self.codes is None:
            return None
        codes = {code: number for code, number in self.codes.items() if code != CLOSED_BY_CALLER}
        return Count(sum(number for code, number in codes.items() if code >= 400), sum(codes.values()))

    def __add__(self, other: "Counters") -> "Counters":
        return Counters(
            _added(self.codes, other.codes, 1),
            _added(self.buckets, other.buckets, 1),
            _added(self.classes, other.classes, 1),
        )

    def since(self, before: "Counters") -> "Counters | None":
        """Return what was counted since `before`; None if the counters went back."""
        went_back = (
            _went_back(self.codes, before.codes)
            or _went_back(self.buckets, before.buckets)
            or _went_back(self.classes, before.classes)
        )
        if went_back:
            return None
        return Counters(
            _added(self.codes, before.codes, -1),
            _added(self.buckets, before.buckets, -1),
            _added(self.classes, before.classes, -1),
        )

    def without(self, sent: Mapping[int, int]) -> "Counters":
        """Return what callers did, without requests that the watch itself sent, by the status they got.

        How long those took, and what they were answered, is not known apart: where there are any, only the
        statuses are kept.
        """
        if not sent or self.codes is None:
            return self
        codes = {code: max(0.0, number - sent.get(code, 0)) for code, number in self.codes.items()}
        return Counters(codes, self.buckets and {}, self.classes and {})


NOTHING = Counters({}, {}, {})


def parse(text: str) -> Counters:
    """Return the counters in Prometheus's text format."""
    codes: Counter[int] = Counter()
    buckets: dict[float, float] = {}
    classes: dict[str, float] = {}
    names = set()
    for name, labels, value in _SAMPLE.findall(text):
        names.add(name)
        label = {key: _unescaped(text) for key, text in _LABEL.findall(labels)}
        # Another server may have metrics of these names, with other labels.
        if name == "ml_requests_total" and label.get("path") in PREDICTIONS and "code" in label:
            if re.fullmatch(r"[1-5]\d\d", label["code"]):
                codes[int(label["code"])] += int(float(value))
        elif name == "ml_request_seconds_bucket" and re.fullmatch(r"\+Inf|[\d.e-]+", label.get("le", "")):
            buckets[float(label["le"])] = float(value)
        elif name == "ml_predictions_total" and "class" in label:
            classes[label["class"]] = float(value)
    # A server that has answered nothing yet has no sample of its requests.
    is_ours = "ml_requests_total" in names or "ml_model_info" in names
    return Counters(dict(codes) if is_ours else None, buckets or None, classes or None)


@dataclass
class _Pod:
    counters: Counters | None = None  # at the last look
    sent: Counter[int] | None = None  # our own requests since then, by status
    gone: bool = False


@dataclass(frozen=True)
class Look:
    """What pods did since the last look, and how many of the reads found them down or started again."""

    counters: Counters
    down: Count


class Reader:
    """Reads the counters of pods, look by look."""

    def __init__(self, cluster: Pods, pods: Sequence[str] = ()) -> None:
        self._cluster = cluster
        self._pods: dict[str, _Pod] = {}
        self.add(pods)
        self.total = NOTHING  # what was counted since the first look
        self.before = NOTHING  # what the pods had counted at the first look

    def add(self, pods: Sequence[str]) -> None:
        """Read these pods too; what they count from their first look on."""
        for name in pods:
            self._pods.setdefault(name, _Pod())

    @property
    def pods(self) -> tuple[str, ...]:
        """The pods that still exist."""
        return tuple(name for name, pod in self._pods.items() if not pod.gone)

    def look(self) -> Look:
        """Read all pods at once. The first look at a pod only sets the start."""
        names = self.pods
        answers = at_once([partial(self._metrics, name) for name in names])
        looks = [self._read(name, answer) for name, answer in zip(names, answers, strict=True)]
        seen = sum((look.counters for look in looks), NOTHING)
        self.total += seen
        return Look(seen, sum((look.down for look in looks), Count()))

    def reference(self) -> Counters:
        """Return what these pods counted while they were read; with what they had before, if that is few."""
        return self.total if self.total.answers >= ENOUGH else self.total + self.before

    def ask(self, body: Object, numbers: Sequence[int]) -> list[Answer]:
        """Send a prediction for each number, to the pods in turn and all at once; return the answers.

        They are not counted as a caller's. A pod that is down gives none.
        """
        names = [self.pods[number % len(self.pods)] for number in numbers if self.pods]
        answers = at_once([partial(self._predict, name, body) for name in names])
        for name, answer in zip(names, answers, strict=True):
            if answer is not None:
                pod = self._pods[name]
                pod.sent = (pod.sent or Counter()) + Counter({answer[0]: 1})
        return [answer for answer in answers if answer is not None]

    def get(self, name: str, path: str) -> Json:
        """Return the JSON document that a pod has at a path; None if it has none, or is down."""
        try:
            code, data = self._cluster.ask(name, PORT, path, patience_s=PATIENCE_S)
            return json.loads(data) if code == 200 else None
        except (Refused, Unreachable, ValueError):
            return None

    def _predict(self, name: str, body: Object) -> Answer | None:
        try:
            return self._cluster.ask(name, PORT, "/predict", body, patience_s=PATIENCE_S)
        except (Refused, Unreachable) as failure:
            if isinstance(failure, Refused) and failure.code != 404:
                raise
            return None

    def _metrics(self, name: str) -> Answer | Refused | Unreachable:
        try:
            return self._cluster.ask(name, PORT, "/metrics", patience_s=PATIENCE_S)
        except (Refused, Unreachable) as failure:
            return failure

    def _read(self, name: str, answer: Answer | Refused | Unreachable) -> Look:
        pod = self._pods[name]
        if isinstance(answer, Refused):
            if answer.code != 404:
                raise answer
            pod.gone = True
            return Look(NOTHING, Count())
        if isinstance(answer, Unreachable):
            # Else it is the API server itself that is away.
            is_pod = isinstance(answer, NoAnswer) or "error trying to reach service" in answer.cause
            return Look(NOTHING, Count(1, 1) if is_pod else Count())
        code, data = answer
        before, sent = pod.counters, pod.sent
        if code != 200 and before is not None and before.codes is not None:
            return Look(NOTHING, Count(1, 1))  # it can, and does not
        counters = parse(data.decode(errors="replace")) if code == 200 else Counters()
        pod.counters, pod.sent = counters, None
        if before is None:
            self.before += counters
            return Look(counters.since(counters) or NOTHING, Count(0, 1))
        since = counters.since(before)
        restarted = since is None
        return Look((counters if since is None else since).without(sent or {}), Count(restarted, 1))


def at_once(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Run the jobs beside each other; return what they return, in their order."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return [each.result() for each in [pool.submit(job) for job in jobs]]


def is_prediction(answer: Answer) -> bool:
    """Return whether an answer to /predict has predictions; else it is an error."""
    status, body = answer
    if status != 200:
        return False
    try:
        document = json.loads(body)
    except ValueError:
        return False
    return isinstance(document, dict) and isinstance(document.get("predictions"), list)


def _added(
    one: Mapping[K, float] | None, other: Mapping[K, float] | None, sign: int
) -> dict[K, float] | None:
    if one is None or other is None:
        return None
    return {key: one.get(key, 0) + sign * other.get(key, 0) for key in (*one, *(set(other) - set(one)))}


def _went_back(now: Mapping[K, float] | None, before: Mapping[K, float] | None) -> bool:
    return any((now or {}).get(key, 0) < number for key, number in (before or {}).items())


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], value)
