"""A tracking server that fails says so in its own record, and says what stands all the same."""

from typing import Any

import anyio
import pytest

from ml_pipeline.common.document import Image, ReleaseRecord, StageRecord
from ml_pipeline.engine.run import Run
from ml_pipeline.errors import StageError
from ml_pipeline.project.config import parse
from ml_pipeline.tracking import stages as tracking
from ml_pipeline.tracking.stages import Tracker
from tests.engine import stand_ins
from tests.engine.stand_ins import Container, End, Service, outcome

PROJECT = parse(None, 'name = "club"\ntask = "classification"\n[data]\npath = "a.csv"\ntarget = "x"\n')
DEPLOYED = StageRecord("deploy", seconds=3.0, cached=False)
RELEASE = ReleaseRecord("updated", "club", "models", version="88ea")


@pytest.fixture
def run() -> Run:
    run = stand_ins.run(PROJECT)
    run.stages.append(DEPLOYED)
    return run


def fails(run: Run, tracker: Tracker, container: Container, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(tracking, "_environment", lambda _run: container)
    with pytest.raises(StageError) as error:
        anyio.run(lambda: tracking.released(run, tracker))
    return str(error.value)


def test_a_server_without_a_port_leaves_the_release_s_record_as_it_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    service: Any = Service([])
    run.release = RELEASE
    line = fails(run, Tracker("http://mlflow:5000", server=service), Container(), monkeypatch)
    cause = "the service of --tracking-server has no port; the release stands"
    hint = "pass --tracking-server=tcp://HOST:PORT of a server that is up"
    assert line == f"track: {cause}; {hint}"
    assert run.stages == [DEPLOYED, StageRecord("track", "failed", message=cause, hint=hint)]


def test_a_server_that_refuses_is_recorded_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.image = Image("r/club:1@sha256:ab")
    refused = Container([End(outcome("failed", message="refuses", hint="log in"))])
    line = fails(run, Tracker("http://mlflow:5000"), refused, monkeypatch)
    assert line == "track: refuses; the published image stands; log in"
    cause = "refuses; the published image stands"
    assert run.stages == [DEPLOYED, StageRecord("track", "failed", 1.5, False, cause, "log in")]


def test_before_anything_left_the_pipeline_nothing_stands(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Container([End(outcome("failed", message="refuses", hint="log in"))])
    assert fails(run, Tracker("http://mlflow:5000"), refused, monkeypatch) == "track: refuses; log in"
