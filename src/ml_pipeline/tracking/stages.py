"""Experiment tracking: each call is a run on an MLflow server."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import dagger
from dagger import dag

from ml_pipeline.common.document import Tracking, as_json, part
from ml_pipeline.engine.environments import Step, with_pins, with_programs
from ml_pipeline.engine.paths import CONFIG
from ml_pipeline.engine.run import Finished, Run, service_port
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import ConfigError, StageError
from ml_pipeline.gate.stages import JUDGE
from ml_pipeline.model.stages import INSPECT
from ml_pipeline.project import settings
from ml_pipeline.training.stages import TRAIN

DOCUMENT, FILES, ALIAS = "/run.json", "/files", "tracking-server"
_PROGRAM = "ml_pipeline.tracking.track"
OPEN = Stage("experiment", _PROGRAM)
TRACK = Stage("track", _PROGRAM, ("the run's document", "the model's folder", "verdict.json"))


@dataclass(frozen=True)
class Tracker:
    """An MLflow server and the login; `server` is the service where only the caller's machine reaches it.

    A password without a username is a token. Raises ConfigError.
    """

    uri: str
    username: str | None = None
    password: dagger.Secret | None = None
    server: dagger.Service | None = None

    def __post_init__(self) -> None:
        fault = _fault(self.uri)
        if fault:
            raise ConfigError(f"--tracking-uri {fault}", "pass an MLflow server, as http://HOST:PORT")
        if self.username and not self.password:
            hint = "pass --tracking-password=env://VARIABLE too"
            raise ConfigError("--tracking-username has no password", hint)


def _fault(uri: str) -> str | None:
    """Return what is wrong with a server's URI, without a password that is in it."""
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError as error:
        return f"is not a URI: {error}"
    if "@" in parts.netloc:
        return "has credentials in it, which belong to --tracking-username and --tracking-password"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return f"is {uri!r}"
    if parts.query or parts.fragment or uri != "".join(uri.split()):
        return f"is {uri!r}, with more than a path after the host"
    return None


async def begin(run: Run, tracker: Tracker) -> None:
    """Open the experiment, so that a server that can't be used is reported before anything is trained."""
    await _ask(run, tracker, OPEN, _environment(run), "open")


async def log(run: Run, tracker: Tracker) -> None:
    """Log the run's document and its files.

    Raises StageError, which says what was published or released all the same.
    """
    container = (
        _environment(run)
        .with_new_file(CONFIG, settings.track(run.project))
        .with_new_file(DOCUMENT, json.dumps(as_json(run.document())))
        .with_directory(FILES, await _files(run))
    )
    arguments = ["--config", CONFIG, "--run", DOCUMENT, "--files", FILES]
    finished = await _ask(run, tracker, TRACK, container, "log", arguments)
    run.tracking = part(Tracking, finished.details, "tracking")


async def released(run: Run, tracker: Tracker) -> None:
    """Log which model version the run has released. Raises StageError, which says that the release stands."""
    version = run.release.version if run.release else None
    await _ask(run, tracker, TRACK, _environment(run), "released", ["--version", version or "unknown"])


async def _files(run: Run) -> dagger.Directory:
    """Return the artifacts: the model's folder, and the verdict."""
    files = dag.directory()
    if trained := run.outputs.get(TRAIN.name):
        files = files.with_directory("model", trained)
    for stage, path, name in (
        (INSPECT, "model.json", "model/model.json"),
        (JUDGE, "verdict.json", "verdict.json"),
    ):
        output = run.outputs.get(stage.name)
        if output and path in await output.entries():
            files = files.with_file(name, output.file(path))
    return files


def _environment(run: Run) -> dagger.Container:
    return run.environments.python().with_(with_pins("tracking")).with_(with_programs(TRACK.program))


async def _ask(
    run: Run,
    tracker: Tracker,
    stage: Stage,
    container: dagger.Container,
    command: str,
    arguments: Sequence[str] = (),
) -> Finished:
    """Run the program on the server. Raises StageError, which says what is not undone by it."""
    arguments = [command, "--uri", tracker.uri, "--name", run.project.name, *arguments]
    try:
        if tracker.server:
            port = await service_port(stage.name, tracker.server, "--tracking-server")
            container = container.with_service_binding(ALIAS, tracker.server)
            arguments += ["--connect", f"{ALIAS}:{port}"]
        # An effect is never answered from the cache.
        container = container.with_env_variable("ML_CALL", str(time.time_ns()))
        return await run.stage(stage, container.with_(_as(tracker)), arguments)
    except StageError as failure:
        raise run.amend(_with_effects(run, failure)) from None


def _as(tracker: Tracker) -> Step:
    """Let the program be who the caller is."""

    def step(container: dagger.Container) -> dagger.Container:
        if not tracker.password:
            return container
        if not tracker.username:
            return container.with_secret_variable("MLFLOW_TRACKING_TOKEN", tracker.password)
        named = container.with_env_variable("MLFLOW_TRACKING_USERNAME", tracker.username)
        return named.with_secret_variable("MLFLOW_TRACKING_PASSWORD", tracker.password)

    return step


def _with_effects(run: Run, failure: StageError) -> StageError:
    """Say in a failure that what has left the pipeline before it is not undone."""
    left = "release" if run.release else "published image" if run.image else ""
    return StageError(failure.stage, f"{failure.cause}; the {left} stands", failure.hint) if left else failure
