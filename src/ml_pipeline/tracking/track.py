"""Track a run on an MLflow server: `open` its experiment, `log` it, or say which version is `released`.

    python -m ml_pipeline.tracking.track open     --uri URI --name NAME
    python -m ml_pipeline.tracking.track log      --uri URI --name NAME --config settings.json \
                                              --run run.json --files FOLDER
    python -m ml_pipeline.tracking.track released --uri URI --name NAME --version VERSION

`log` may be done again: what is the same model, trained in the same way, stays one run. A model that
passed its gate is registered once, as NAME; its alias `candidate` is the last that passed, `champion` what
is released. FOLDER has the artifacts, the model in its folder `model`. Who asks is in the variables that
MLflow's own clients read: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.
"""

import argparse
import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_pipeline.common.document import RunDocument, from_json
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.common.reading import read_settings
from ml_pipeline.tracking import models as registry
from ml_pipeline.tracking.experiment import (
    KEY,
    LOGGED,
    OURS,
    Point,
    Settings,
    Tracked,
    history,
    path_of,
    tracked,
)
from ml_pipeline.tracking.models import MODEL
from ml_pipeline.tracking.server import ARTIFACTS, Refused, Server

AT_ONCE = {"metrics": 1000, "params": 100, "tags": 100}  # what MLflow takes in one request


def opened(server: Server, name: str) -> dict[str, Any]:
    """Return the experiment, made where it is not there yet. Raises `StageFailure` where it is of no use."""
    experiment = server.found("experiments/get-by-name", experiment_name=name)
    if experiment is None:
        try:
            server.post("experiments/create", {"name": name})
        except Refused as refused:
            if refused.code != "RESOURCE_ALREADY_EXISTS":  # another call has just made it
                raise
        experiment = server.get("experiments/get-by-name", experiment_name=name)
    found: dict[str, Any] = experiment["experiment"]
    if found["lifecycle_stage"] != "active":
        raise StageFailure(f"{server.uri} has experiment {name!r} deleted", "restore it there")
    if not found["artifact_location"].startswith(f"{ARTIFACTS}/"):
        where = (
            f"{server.uri} leaves artifacts of experiment {name!r} in {found['artifact_location']} to clients"
        )
        raise StageFailure(
            where, "let the server keep them: mlflow server --serve-artifacts, a new experiment"
        )
    return found


def log(server: Server, name: str, run: RunDocument, settings: Settings, files: Path) -> dict[str, Any]:
    """Log a run, or bring the one of the same key up to date; the details say where it is to be seen."""
    wanted = tracked(run, settings, _reported(files))
    registry.describe(files / MODEL)
    experiment = opened(server, name)["experiment_id"]
    digests = {path.relative_to(files).as_posix(): _digest(path) for path in _files(files)}
    digest = wanted.digest(digests)
    found = _find(server, experiment, wanted.key) or _start(
        server, experiment, wanted, run.started or time.time()
    )
    run_id, before = found["info"]["run_id"], _pairs(found["data"].get("tags"))
    if before.get(LOGGED) != digest:
        _write(server, found, wanted, files)
        server.post("runs/set-tag", {"run_id": run_id, "key": LOGGED, "value": digest})
    details = {"run": run_id, "url": f"{server.uri}/#/experiments/{experiment}/runs/{run_id}"}
    details |= registry.register(server, name, wanted, found["info"]) if wanted.version else {}
    if wanted.released:
        details |= registry.released(server, name, wanted.released)
    print(f"{wanted.status.lower()} run {run_id}: {details['url']}")
    return details


def _find(server: Server, experiment: str, key: str) -> dict[str, Any] | None:
    wanted = {
        "experiment_ids": [experiment],
        "filter": f"tags.`{KEY}` = '{key}'",
        "order_by": ["attributes.start_time ASC"],
        "max_results": 1,
    }
    runs = server.post("runs/search", wanted).get("runs")
    return dict(runs[0]) if runs else None


def _start(server: Server, experiment: str, wanted: Tracked, started: float) -> dict[str, Any]:
    run = {
        "experiment_id": experiment,
        "start_time": int(started * 1000),
        "run_name": wanted.title,
        "tags": [{"key": KEY, "value": wanted.key}],
    }
    return dict(server.post("runs/create", run)["run"])


def _write(server: Server, found: Mapping[str, Any], wanted: Tracked, files: Path) -> None:
    """Bring a run up to date; killed at any point, the same call again ends it."""
    info, data = found["info"], found["data"]
    run_id, now = info["run_id"], int(time.time() * 1000)
    tags, metrics = _pairs(data.get("tags")), _pairs(data.get("metrics"))
    changed = [Point(name, value, 0) for name, value in wanted.metrics.items() if metrics.get(name) != value]
    if LOGGED not in tags:  # the same model has one history
        points = _without_known(server, run_id, _history(files), metrics)
        _log(server, run_id, "metrics", [_point(point, info["start_time"]) for point in points])
    _log(server, run_id, "metrics", [_point(point, now) for point in changed])
    _log(server, run_id, "params", [{"key": key, "value": value} for key, value in wanted.params.items()])
    _log(server, run_id, "tags", [{"key": key, "value": value} for key, value in wanted.tags.items()])
    for key in tags:
        if key.startswith(OURS) and key not in {*wanted.tags, LOGGED}:
            server.post("runs/delete-tag", {"run_id": run_id, "key": key})
    for path in _files(files):
        server.put(f"{info['artifact_uri']}/{path_of(path.relative_to(files).as_posix())}", path)
    server.post("runs/update", {"run_id": run_id, "status": wanted.status, "end_time": now})


def _without_known(
    server: Server, run_id: str, points: Sequence[Point], metrics: Mapping[str, Any]
) -> list[Point]:
    """Leave out what a logging that was cut short has brought: some servers refuse to have it twice."""
    known = set()
    for name in {point.name for point in points} & metrics.keys():
        found = server.get("metrics/get-history", run_id=run_id, metric_key=name)
        known |= {(name, int(point.get("step", 0))) for point in found.get("metrics", [])}
    return [point for point in points if (point.name, point.step) not in known]


def _log(server: Server, run_id: str, kind: str, entries: Sequence[Mapping[str, Any]]) -> None:
    for first in range(0, len(entries), AT_ONCE[kind]):
        server.post("runs/log-batch", {"run_id": run_id, kind: entries[first : first + AT_ONCE[kind]]})


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _reported(files: Path) -> dict[str, float]:
    path = files / MODEL / "metrics.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _history(files: Path) -> list[Point]:
    path = files / MODEL / "history.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="") as lines:
        return history(lines)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _point(point: Point, time_ms: int) -> dict[str, Any]:
    # JSON has no NaN: protocol buffers write it as text.
    value = point.value if math.isfinite(point.value) else _NOT_FINITE.get(point.value, "NaN")
    return {"key": point.name, "value": value, "timestamp": time_ms, "step": point.step}


_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def _pairs(entries: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    return {entry["key"]: entry["value"] for entry in entries or []}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tracking stage on the command line's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m ml_pipeline.tracking.track",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    opening = commands.add_parser("open", help="find the experiment, or make it")
    logging = commands.add_parser("log", help="log a run")
    logging.add_argument("--config", type=Path, required=True, help="the settings of its training, JSON")
    logging.add_argument("--run", type=Path, required=True, help="what is known of it, JSON")
    logging.add_argument("--files", type=Path, required=True, help="its artifacts")
    releasing = commands.add_parser("released", help="say which model is released")
    releasing.add_argument("--version", required=True, help="of the model")
    for command in (opening, logging, releasing):
        command.add_argument("--uri", required=True, help="the server, as http://HOST:PORT")
        command.add_argument(
            "--connect", metavar="HOST:PORT", help="connect there; it is asked by its URI's name"
        )
        command.add_argument("--name", required=True, help="of the experiment and the registered model")
    options = parser.parse_args(arguments)

    def body() -> dict[str, Any]:
        server = Server(options.uri, options.connect)
        if options.command == "open":
            return {"experiment": opened(server, options.name)["experiment_id"]}
        if options.command == "released":
            return registry.released(server, options.name, options.version)
        run = from_json(json.loads(options.run.read_text(encoding="utf-8")))
        return log(server, options.name, run, read_settings(Settings, options.config), options.files)

    run_stage("experiment" if options.command == "open" else "track", body)


if __name__ == "__main__":
    main()
