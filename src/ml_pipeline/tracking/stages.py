"""Experiment tracking: what a call did, as a run on an MLflow server."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import dagger
from dagger import dag

from ml_pipeline.engine.environments import Step, with_pins, with_programs
from ml_pipeline.engine.paths import CONFIG
from ml_pipeline.engine.run import Finished, Run, service_port
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import ConfigError, StageError
from ml_pipeline.project import settings

DOCUMENT, FILES, ALIAS = "/run.json", "/files", "tracking-server"
_PROGRAM = "ml_pipeline.tracking.track"
OPEN = Stage("experiment", _PROGRAM)
TRACK = Stage("track", _PROGRAM, ("what is known of the run", "the model's folder", "verdict.json"))


@dataclass(frozen=True)
class Tracker:
    """An MLflow server, and who logs there; `server` where only the caller's machine reaches it.

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
    """Say what is wrong with a server's URI; a password in it is not repeated."""
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError as error:
        return f"is no URI: {error}"
    if "@" in parts.netloc:
        return "has credentials in it, which belong to --tracking-username and --tracking-password"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return f"is {uri!r}"
    if parts.query or parts.fragment or uri != "".join(uri.split()):
        return f"is {uri!r}, with more than a path after the host"
    return None


async def begin(run: Run, tracker: Tracker) -> None:
    """Open the experiment, so that a server that is not there is known before anything is trained."""
    await _ask(run, tracker, OPEN, _environment(run), "open")


async def log(run: Run, tracker: Tracker, known: Mapping[str, Any]) -> None:
    """Log what is known of a run, as the summary reads it, and its files.

    Raises StageError, which says what stands all the same.
    """
    split = next((record["details"] for record in run.records if record["stage"] == "split"), None)
    document = json.dumps({**known, "split": split, "started": run.started})
    container = (
        _environment(run)
        .with_new_file(CONFIG, settings.track(run.project))
        .with_new_file(DOCUMENT, document)
        .with_directory(FILES, await _files(run))
    )
    arguments = ["--config", CONFIG, "--run", DOCUMENT, "--files", FILES]
    run.facts["tracking"] = (await _ask(run, tracker, TRACK, container, "log", arguments)).details


async def released(run: Run, tracker: Tracker, version: str | None) -> None:
    """Let the server know which model a cluster runs since. Raises StageError, which says that it does."""
    await _ask(run, tracker, TRACK, _environment(run), "released", ["--version", version or "unknown"])


async def _files(run: Run) -> dagger.Directory:
    """Return the artifacts: the model's folder, and the verdict."""
    files = dag.directory()
    if trained := run.outputs.get("train"):
        files = files.with_directory("model", trained)
    for stage, path, name in (
        ("inspect-model", "model.json", "model/model.json"),
        ("validate-gate", "verdict.json", "verdict.json"),
    ):
        output = run.outputs.get(stage)
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
        raise _beside(run, failure) from None


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


def _beside(run: Run, failure: StageError) -> StageError:
    """Say of a failure that what has left the pipeline is not undone by it."""
    stands = next((f"the {what} stands" for what, fact in STANDING.items() if fact in run.facts), None)
    if not stands:
        return failure
    cause = f"{failure.cause}; {stands}"
    run.records[-1]["message"] = cause
    return StageError(failure.stage, cause, failure.hint)


STANDING = {"release": "release", "published image": "image"}
