"""What of a run is tracked: params, metrics and tags, by MLflow's names and limits; pure.

A run is the document that the summary reads (see `summary`), with the details of `split` and `training`, any
of it missing; its settings are task, command, seed and config.
"""

import csv
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ml_pipeline.common.measures import MEASURES
from ml_pipeline.report import summary

OURS = "ml-pipeline."  # what tags of our own start with
KEY, LOGGED, VERSION, VERDICT, IMAGE = (
    f"{OURS}{name}" for name in ("key", "logged", "model-version", "verdict", "image")
)
CANDIDATE, CHAMPION = "candidate", "champion"  # aliases: passed the gate last; is released
NAME_LENGTH, PARAM_LENGTH, TAG_LENGTH = 250, 6000, 5000  # characters; a tag's on MLflow before 2.14
HISTORY = 1000  # epochs that are logged, evenly apart; the file has all
STEPS = ("epoch", "step")  # columns that number the rows of a history


@dataclass(frozen=True)
class Point:
    """A metric's value at a step."""

    name: str
    value: float
    step: int


@dataclass(frozen=True)
class Tracked:
    """A run as MLflow takes it."""

    key: str  # the same for the same model, trained in the same way: such runs are one
    title: str
    status: str  # FINISHED or FAILED
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    version: str | None  # of a model that is there
    passed: bool | None  # the gate's verdict; None: there is none
    released: str | None  # the version that the cluster runs since

    def digest(self, files: Mapping[str, str]) -> str:
        """Name all that would be logged, files (path → digest) included."""
        whole = json.dumps([asdict(self), dict(files)], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()


def tracked(run: Mapping[str, Any], settings: Mapping[str, Any], reported: Mapping[str, float]) -> Tracked:
    """Return what is tracked of a run; `reported` is the training's own metrics.json."""
    model, verdict, release = (run.get(key) or {} for key in ("model", "verdict", "release"))
    version = model.get("version")
    params = {name_of(name): text[:PARAM_LENGTH] for name, text in _params(run, settings)}
    identity = [version or run.get("revision"), params]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    first = summary.headline(run)
    failed = not first.good
    tags = {
        KEY: key,
        VERSION: version,
        VERDICT: ("passed" if verdict["passed"] else "failed") if verdict else None,
        f"{OURS}reason": first.why if failed else None,
        f"{OURS}data": _data(run),
        IMAGE: (run.get("image") or {}).get("reference"),
        **{f"{OURS}gate.{gate['metric']}": _gate(gate) for gate in verdict.get("gates", [])},
        "mlflow.source.git.commit": run.get("revision"),
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
        release.get("version"),
    )


def name_of(name: str) -> str:
    """Return a name that MLflow takes: what it does not take of ours is an underscore."""
    allowed = re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)[:NAME_LENGTH]
    # To MLflow they are paths: none may be written in two ways.
    return "/".join(part if part.strip(".") else "_" for part in allowed.split("/"))


def path_of(path: str) -> str:
    """Return an artifact's path that MLflow takes: it refuses some of what a file may be called."""
    return re.sub(r"[^\w\-. /+=@,()]", "_", path)


def history(lines: Iterable[str]) -> list[Point]:
    """Return the numbers of a history.csv, by its column `epoch` or `step`, or else by its rows."""
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


def _numbers(row: Mapping[str | None, Any]) -> Iterator[tuple[str, float]]:
    for name, text in row.items():
        if name and isinstance(text, str):
            try:
                yield name, float(text)
            except ValueError:
                continue


def _params(run: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    training, split = (run.get(key) or {} for key in ("training", "split"))
    yield "task", settings["task"]
    yield "trainer", settings["command"] or "built-in"
    yield "seed", str(settings["seed"])
    if "device" in training:
        yield "device", training["device"]
    for key in ("train_rows", "holdout_rows"):
        if key in split:
            yield key, str(split[key])
    search = training.get("search")
    config = dict(settings["config"])
    if search:
        config |= search["trials"][search["best"] - 1]["parameters"]
        yield "search.metric", f"{search['mode']} {search['metric']}"
        yield "search.trials", str(len(search["trials"]))
    yield from _flat("config", config)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif not isinstance(value, Mapping):
        yield name, value if isinstance(value, str) else json.dumps(value)


def _metrics(verdict: Mapping[str, Any], reported: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    for name, value in reported.items():
        yield name_of(f"training/{name}"), value
    intervals = verdict.get("intervals") or {}
    for name, value in (verdict.get("metrics") or {}).items():
        # What the gate does not measure itself it has from the training.
        if value is None or (name in reported and name not in MEASURES):
            continue
        yield name_of(f"gate/{name}"), value
        for end, bound in zip(("low", "high"), intervals.get(name) or (), strict=False):
            if bound is not None:
                yield name_of(f"gate/{name}.{end}"), bound


def _gate(gate: Mapping[str, Any]) -> str:
    return f"{gate['status']}: {gate['reason']}" if gate.get("reason") else str(gate["status"])


def _data(run: Mapping[str, Any]) -> str | None:
    """Return the digest of the data, as whichever stage has read it says."""
    digests = (run.get("split") or {}).get("sha256") or {}
    digest = digests.get("data") or (run.get("data") or {}).get("sha256")
    return f"sha256:{str(digest).removeprefix('sha256:')}" if digest else None
