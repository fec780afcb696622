"""Track a run on an MLflow server: `open` its experiment, `log` it, or log which version is `released`.

    python -m ml_pipeline.tracking.track open     --uri URI --name NAME
    python -m ml_pipeline.tracking.track log      --uri URI --name NAME --config settings.json \
                                              --run run.json --files FOLDER
    python -m ml_pipeline.tracking.track released --uri URI --name NAME --version VERSION

`log` may be repeated: the same model, trained in the same way, stays one run. A model that passed its gate is
registered once, as NAME; its alias `candidate` is the last version that passed, `champion` the released one.
FOLDER has the artifacts, with the model in its folder `model`. The login is in the variables that MLflow's
own clients read: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.
"""

import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ml_pipeline.common import command_line
from ml_pipeline.common.document import RunDocument, from_json
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.common.reading import read_settings
from ml_pipeline.tracking import models as registry
from ml_pipeline.tracking.answers import (
    Entry,
    Experiment,
    ExperimentAnswer,
    LoggedRun,
    OneRun,
    Runs,
    Steps,
)
from ml_pipeline.tracking.experiment import (
    CREATED,
    KEY,
    LOGGED,
    OURS,
    Point,
    Settings,
    Tracked,
    history,
    tracked,
)
from ml_pipeline.tracking.models import MODEL
from ml_pipeline.tracking.names import apart, path_of
from ml_pipeline.tracking.server import Refused, Server

BUSY_S, POLL_S = 20.0, 0.3  # so long after its creation a run may be in the hands of another call
AT_ONCE = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow's limits of one request


def opened(server: Server, name: str) -> Experiment:
    """Return the experiment; create it where it does not exist.

    Raises StageFailure if it is deleted, or the server does not store its artifacts.
    """
    path = "experiments/get-by-name"
    answer = server.find(ExperimentAnswer, path, experiment_name=name)
    if answer is None:
        try:
            server.send("experiments/create", {"name": name})
        except Refused as refused:
            if refused.code != "RESOURCE_ALREADY_EXISTS":  # another call has just created it
                raise
        answer = server.get(ExperimentAnswer, path, experiment_name=name)
    experiment = answer.experiment
    if experiment.lifecycle_stage != "active":
        raise StageFailure(f"{server.uri} has experiment {name!r} deleted", "restore it there")
    location = experiment.artifact_location
    if not server.stores(location):
        cause = f"{server.uri} leaves artifacts of experiment {name!r} in {location} to clients"
        hint = "let the server keep them: mlflow server --serve-artifacts, a new experiment"
        raise StageFailure(cause, hint)
    return experiment


def log(
    server: Server, name: str, document: RunDocument, settings: Settings, files: Path
) -> dict[str, str | None]:
    """Log a run, or update the run of the same key; return its id, its address and its model's version."""
    run = tracked(document, settings, _reported(files))
    registry.describe(files / MODEL)
    experiment = opened(server, name).experiment_id
    digest = run.digest({path.relative_to(files).as_posix(): _digest(path) for path in _files(files)})
    started = document.started or time.time()
    known = _find(server, experiment, run.key)
    logged = _finished(server, known) if known else _start(server, experiment, run, started)
    run_id = logged.info.run_id
    if _values(logged.data.tags).get(LOGGED) != digest:
        _write(server, logged, run, files)
        server.send("runs/set-tag", {"run_id": run_id, "key": LOGGED, "value": digest})
    details: dict[str, str | None] = {
        "run": run_id,
        "url": f"{server.uri}/#/experiments/{experiment}/runs/{run_id}",
    }
    details |= registry.register(server, name, run, logged.info) if run.version else {}
    if run.released:
        details |= registry.released(server, name, run.released)
    print(f"{run.status.lower()} run {run_id}: {details['url']}")
    return details


def _find(server: Server, experiment: str, key: str) -> LoggedRun | None:
    """Return the run of a key; of several that began at once, the one that all calls agree on."""
    query = {
        "experiment_ids": [experiment],
        "filter": f"tags.`{KEY}` = '{key}'",
        "order_by": ["attributes.start_time ASC"],
        "max_results": 100,
    }
    runs = server.post(Runs, "runs/search", query).runs
    return min(runs, key=lambda run: (_created(run), run.info.run_id)) if runs else None


def _start(server: Server, experiment: str, run: Tracked, started: float) -> LoggedRun:
    """Create the run, unless an equal call did so at the same moment: then this one's is deleted."""
    document = {
        "experiment_id": experiment,
        "start_time": int(started * 1000),
        "run_name": run.title,
        "tags": [{"key": KEY, "value": run.key}, {"key": CREATED, "value": f"{time.time():.6f}"}],
    }
    own = server.post(OneRun, "runs/create", document).run
    first = _find(server, experiment, run.key) or own
    if first.info.run_id == own.info.run_id:
        return own
    server.send("runs/delete", {"run_id": own.info.run_id})
    return _finished(server, first)


def _finished(server: Server, logged: LoggedRun) -> LoggedRun:
    """Wait while another call is logging this run, and return it as it is then.

    A call that was killed is not waited for long: what it began is completed by this one.
    """
    while True:
        tags = _values(logged.data.tags)
        age = time.time() - _created(logged)
        if LOGGED in tags or logged.info.status != "RUNNING" or not 0 <= age < BUSY_S:
            return logged
        time.sleep(POLL_S)
        logged = server.get(OneRun, "runs/get", run_id=logged.info.run_id).run


def _created(logged: LoggedRun) -> float:
    """Return when a call created the run, in seconds; 0 for runs of older versions, which did not say so."""
    return float(_values(logged.data.tags).get(CREATED, 0))


def _write(server: Server, logged: LoggedRun, run: Tracked, files: Path) -> None:
    """Bring a run up to date; if this is killed at any point, the same call completes it."""
    info, now = logged.info, int(time.time() * 1000)
    tags, metrics = _values(logged.data.tags), _values(logged.data.metrics)
    changed = [Point(name, value, 0) for name, value in run.metrics.items() if metrics.get(name) != value]
    if LOGGED not in tags:  # the same model has one history
        points = _new_points(server, info.run_id, _history(files), set(metrics))
        _log(server, info.run_id, "metrics", [_point(point, info.start_time) for point in points])
    _log(server, info.run_id, "metrics", [_point(point, now) for point in changed])
    for kind, values in (("params", run.params), ("tags", run.tags)):
        _log(server, info.run_id, kind, [{"key": key, "value": value} for key, value in values.items()])
    for key in tags:
        if key.startswith(OURS) and key not in {*run.tags, CREATED, LOGGED}:
            server.send("runs/delete-tag", {"run_id": info.run_id, "key": key})
    paths = {path.relative_to(files).as_posix(): path for path in _files(files)}
    for name, accepted in apart(paths, path_of).items():
        server.put(f"{info.artifact_uri}/{accepted}", paths[name])
    server.send("runs/update", {"run_id": info.run_id, "status": run.status, "end_time": now})


def _new_points(server: Server, run_id: str, points: Sequence[Point], logged: set[str]) -> list[Point]:
    """Return the points that an interrupted call has not logged: some servers refuse a point twice."""
    on_server = set()
    for name in {point.name for point in points} & logged:
        steps = server.get(Steps, "metrics/get-history", run_id=run_id, metric_key=name)
        on_server |= {(name, int(point.step)) for point in steps.metrics}
    return [point for point in points if (point.name, point.step) not in on_server]


def _log(server: Server, run_id: str, kind: str, entries: Sequence[Mapping[str, object]]) -> None:
    for first in range(0, len(entries), AT_ONCE[kind]):
        server.send("runs/log-batch", {"run_id": run_id, kind: entries[first : first + AT_ONCE[kind]]})


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _reported(files: Path) -> dict[str, float]:
    path = files / MODEL / "metrics.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _history(files: Path) -> list[Point]:
    path = files / MODEL / "history.csv"
    return history(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else []


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _point(point: Point, time_ms: int) -> dict[str, object]:
    # JSON has no NaN: protocol buffers write it as text.
    value = point.value if math.isfinite(point.value) else _NOT_FINITE.get(point.value, "NaN")
    return {"key": point.name, "value": value, "timestamp": time_ms, "step": point.step}


_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def _values(entries: Sequence[Entry]) -> dict[str, str | float]:
    return {entry.key: entry.value for entry in entries}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tracking stage on the command line's arguments."""
    parser = command_line.parser("tracking.track", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    opening = commands.add_parser("open", help="find the experiment, or create it")
    logging = commands.add_parser("log", help="log a run")
    logging.add_argument("--config", type=Path, required=True, help="the training's settings, a JSON file")
    logging.add_argument("--run", type=Path, required=True, help="the document of the run, a JSON file")
    logging.add_argument("--files", type=Path, required=True, help="the folder of the artifacts")
    releasing = commands.add_parser("released", help="log which model version is released")
    releasing.add_argument("--version", required=True, help="the version of the model")
    for command in (opening, logging, releasing):
        command.add_argument("--uri", required=True, help="the server, as http://HOST:PORT")
        command.add_argument(
            "--connect", metavar="HOST:PORT", help="where to connect instead of the URI's host"
        )
        command.add_argument("--name", required=True, help="the experiment's and the model's name")
    options = parser.parse_args(arguments)

    def body() -> Mapping[str, object]:
        server = Server(options.uri, options.connect)
        if options.command == "open":
            return {"experiment": opened(server, options.name).experiment_id}
        if options.command == "released":
            return registry.released(server, options.name, options.version)
        run = from_json(json.loads(options.run.read_text(encoding="utf-8")))
        return log(server, options.name, run, read_settings(Settings, options.config), options.files)

    run_stage("experiment" if options.command == "open" else "track", body)


if __name__ == "__main__":
    main()
