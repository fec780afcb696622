"""The params, metrics and tags of a run, within MLflow's names and limits; pure.

Any part of the run may be missing: it may have ended early.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TypeVar

from ml_pipeline.common.document import Details, RunDocument, Split, Training
from ml_pipeline.common.history import STEPS, read_history
from ml_pipeline.common.metrics.table import METRICS
from ml_pipeline.common.verdict import Gate, Verdict
from ml_pipeline.report import documents, summary
from ml_pipeline.tracking.names import apart

T = TypeVar("T")
OURS = "ml-pipeline."  # the prefix of our own tags
KEY, CREATED, LOGGED, VERSION, VERDICT, IMAGE = (
    f"{OURS}{name}" for name in ("key", "created", "logged", "model-version", "verdict", "image")
)
CANDIDATE, CHAMPION = "candidate", "champion"  # aliases: passed the gate last; is released
PARAM_LENGTH, TAG_LENGTH = 6000, 5000  # characters; a tag's on MLflow before 2.14
HISTORY = 1000  # the most epochs that are logged, evenly spaced; the artifact has all


@dataclass(frozen=True)
class Settings:
    """What of the project's configuration the params show; project/settings.py writes it."""

    task: str
    command: str | None
    seed: int
    config: Details


@dataclass(frozen=True)
class Point:
    """A metric's value at a step."""

    name: str
    value: float
    step: int


@dataclass(frozen=True)
class Tracked:
    """A run as MLflow takes it."""

    key: str  # the same for the same model, trained in the same way: MLflow has one run of them
    title: str
    status: str  # FINISHED or FAILED
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    version: str | None  # of a model that can be served
    passed: bool | None  # the gate's verdict; None without a gate
    released: str | None  # the version that the run has released

    def digest(self, files: Mapping[str, str]) -> str:
        """Return a digest of all that is logged; `files` are paths and their digests."""
        whole = json.dumps([asdict(self), dict(files)], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()


def tracked(run: RunDocument, settings: Settings, reported: Mapping[str, float]) -> Tracked:
    """Return a run as MLflow takes it; `reported` is the training's own metrics.json."""
    model, verdict = documents.model(run), documents.verdict(run)
    version = model.get("version")
    params = _accepted((name, text[:PARAM_LENGTH]) for name, text in _params(run, settings))
    first = summary.headline(run)
    failed = not first.good
    # Without a model, what went wrong is what one run is about.
    identity = [version, params] if version else [run.revision, params, first.why]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    tags = {
        KEY: key,
        VERSION: version,
        VERDICT: ("passed" if verdict["passed"] else "failed") if verdict else None,
        f"{OURS}reason": first.why if failed else None,
        f"{OURS}data": _data(run),
        f"{OURS}holdout": (verdict.get("digests") or {}).get("data"),
        IMAGE: run.image.reference if run.image else None,
        **{f"{OURS}gate.{gate['metric']}": _gate(gate) for gate in verdict.get("gates", [])},
        "mlflow.source.git.commit": run.revision,
        "mlflow.source.name": "ml-pipeline",
        "mlflow.source.type": "PROJECT",
        "mlflow.note.content": f"**{first.title}**\n\n{first.why}",
    }
    return Tracked(
        key,
        str(version) if version else "no model",
        "FAILED" if failed else "FINISHED",
        params,
        _accepted(_metrics(verdict, reported)),
        _accepted((name, str(text)[:TAG_LENGTH]) for name, text in tags.items() if text),
        version if model.get("runtime") else None,
        verdict["passed"] if verdict else None,
        run.release.version if run.release else None,
    )


def _accepted(entries: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Return the entries under names that MLflow accepts; two names stay two."""
    values = dict(entries)
    names = apart(values)
    return {names[name]: value for name, value in values.items()}


def history(text: str) -> list[Point]:
    """Return the numbers of a history.csv; the step is its column `epoch` or `step`, or the row."""
    rows = read_history(text)
    if len(rows) > HISTORY:
        rows = [rows[index * (len(rows) - 1) // (HISTORY - 1)] for index in range(HISTORY)]
    names = apart(f"epoch/{name}" for row in rows for name in row)
    points = []
    for number, numbers in enumerate(rows, start=1):
        counted = [numbers.pop(name) for name in STEPS if name in numbers]
        step = int(counted[0]) if counted and math.isfinite(counted[0]) else number
        points += [Point(names[f"epoch/{name}"], value, step) for name, value in numbers.items()]
    return points


def _params(run: RunDocument, settings: Settings) -> Iterator[tuple[str, str]]:
    training, split = run.training or Training(), run.split or Split()
    yield "task", settings.task
    yield "trainer", settings.command or "built-in"
    yield "seed", str(settings.seed)
    if training.device:
        yield "device", training.device
    if split.train_rows is not None:
        yield "train_rows", str(split.train_rows)
    if split.holdout_rows is not None:
        yield "holdout_rows", str(split.holdout_rows)
    config, search = dict(settings.config), training.search
    if search:
        config |= search.trials[search.best - 1].parameters
        yield "search.metric", f"{search.mode} {search.metric}"
        yield "search.trials", str(len(search.trials))
    yield from _flat("config", config)


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif not isinstance(value, Mapping):
        yield name, value if isinstance(value, str) else json.dumps(value)


def _metrics(verdict: Verdict, reported: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    for name, value in reported.items():
        yield f"training/{name}", value
    intervals = verdict.get("intervals") or {}
    for name, measured in (verdict.get("metrics") or {}).items():
        # The gate has a metric that it does not measure itself from the training.
        if measured is None or (name in reported and name not in METRICS):
            continue
        yield f"gate/{name}", measured
        for end, bound in zip(("low", "high"), intervals.get(name) or (), strict=False):
            if bound is not None:
                yield f"gate/{name}.{end}", bound


def _gate(gate: Gate) -> str:
    return f"{gate['status']}: {gate['reason']}" if gate.get("reason") else str(gate["status"])


def _data(run: RunDocument) -> str | None:
    """Return the digest of the data, from the split or else from the check of the data."""
    digest = (run.split.sha256.get("data") if run.split else None) or documents.data(run).get("sha256")
    return f"sha256:{digest.removeprefix('sha256:')}" if digest else None
