"""The params, metrics and tags of a run, within MLflow's names and limits; pure.

Any part of the run may be missing: it may have ended early.
"""

import csv
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from ml_pipeline.common.document import Details, RunDocument, Split, Training
from ml_pipeline.common.metrics.table import METRICS
from ml_pipeline.common.verdict import Gate, Verdict
from ml_pipeline.report import documents, summary

OURS = "ml-pipeline."  # the prefix of our own tags
KEY, LOGGED, VERSION, VERDICT, IMAGE = (
    f"{OURS}{name}" for name in ("key", "logged", "model-version", "verdict", "image")
)
CANDIDATE, CHAMPION = "candidate", "champion"  # aliases: passed the gate last; is released
NAME_LENGTH, PARAM_LENGTH, TAG_LENGTH = 250, 6000, 5000  # characters; a tag's on MLflow before 2.14
HISTORY = 1000  # the most epochs that are logged, evenly spaced; the artifact has all
STEPS = ("epoch", "step")  # columns that number the rows of a history


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
    params = {name_of(name): text[:PARAM_LENGTH] for name, text in _params(run, settings)}
    identity = [version or run.revision, params]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    first = summary.headline(run)
    failed = not first.good
    tags = {
        KEY: key,
        VERSION: version,
        VERDICT: ("passed" if verdict["passed"] else "failed") if verdict else None,
        f"{OURS}reason": first.why if failed else None,
        f"{OURS}data": _data(run),
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
        dict(_metrics(verdict, reported)),
        {name_of(name): str(text)[:TAG_LENGTH] for name, text in tags.items() if text},
        version if model.get("runtime") else None,
        verdict["passed"] if verdict else None,
        run.release.version if run.release else None,
    )


def name_of(name: str) -> str:
    """Return a name that MLflow accepts: other characters become underscores."""
    allowed = re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)[:NAME_LENGTH]
    # MLflow takes names as paths, and refuses a path that has a shorter form.
    return "/".join(part if part.strip(".") else "_" for part in allowed.split("/"))


def path_of(path: str) -> str:
    """Return an artifact's path that MLflow accepts: other characters become underscores."""
    return re.sub(r"[^\w\-. /+=@,()]", "_", path)


def history(lines: Iterable[str]) -> list[Point]:
    """Return the numbers of a history.csv; the step is its column `epoch` or `step`, or the row."""
    rows = list(csv.DictReader(lines))
    if len(rows) > HISTORY:
        rows = [rows[index * (len(rows) - 1) // (HISTORY - 1)] for index in range(HISTORY)]
    points = []
    for number, row in enumerate(rows, start=1):
        numbers = dict(_numbers(row))
        counted = [numbers.pop(name) for name in STEPS if name in numbers]
        step = int(counted[0]) if counted and math.isfinite(counted[0]) else number
        points += [Point(name_of(f"epoch/{name}"), value, step) for name, value in numbers.items()]
    return points


def _numbers(row: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    for name, text in row.items():
        if name and isinstance(text, str):  # a row that is too long has a list without a name
            try:
                yield name, float(text)
            except ValueError:
                continue


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
        yield name_of(f"training/{name}"), value
    intervals = verdict.get("intervals") or {}
    for name, measured in (verdict.get("metrics") or {}).items():
        # The gate has a metric that it does not measure itself from the training.
        if measured is None or (name in reported and name not in METRICS):
            continue
        yield name_of(f"gate/{name}"), measured
        for end, bound in zip(("low", "high"), intervals.get(name) or (), strict=False):
            if bound is not None:
                yield name_of(f"gate/{name}.{end}"), bound


def _gate(gate: Gate) -> str:
    return f"{gate['status']}: {gate['reason']}" if gate.get("reason") else str(gate["status"])


def _data(run: RunDocument) -> str | None:
    """Return the digest of the data, from the split or else from the check of the data."""
    digest = (run.split.sha256.get("data") if run.split else None) or documents.data(run).get("sha256")
    return f"sha256:{digest.removeprefix('sha256:')}" if digest else None
