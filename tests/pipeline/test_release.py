"""A release that the tracker can't log: the error says so, and the log has the release's record."""

import json

import anyio
import pytest

from ml_pipeline import pipeline
from ml_pipeline.common.document import ReleaseRecord
from ml_pipeline.engine.run import Finished, Run
from ml_pipeline.errors import StageError
from ml_pipeline.project.config import parse
from ml_pipeline.release.stages import Caller
from ml_pipeline.tracking.stages import Tracker
from tests.engine import stand_ins

PROJECT = parse(None, 'name = "club"\ntask = "classification"\n[data]\npath = "a.csv"\ntarget = "x"\n')
TRACKER = Tracker("http://mlflow:5000")
RECORD = {"action": "rolled-back", "name": "club", "version": "88ea"}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a run in which releases succeed and the tracker fails."""

    async def released(run: Run, *_: object) -> Finished:
        run.release = ReleaseRecord(**RECORD)
        return Finished(None, RECORD)  # type: ignore[arg-type]

    async def opened(*_: object) -> None:
        return None

    async def refused(*_: object) -> None:
        raise StageError("track", "refuses; the release stands", "log in")

    monkeypatch.setattr(pipeline.release, "deploy", released)
    monkeypatch.setattr(pipeline.release, "rollback", released)
    monkeypatch.setattr(pipeline.tracking, "begin", opened)
    monkeypatch.setattr(pipeline.tracking, "released", refused)
    return stand_ins.run(PROJECT)


@pytest.mark.parametrize("function", ["deploy", "rollback"])
def test_the_log_has_the_record_where_the_tracker_fails(
    run: Run, capsys: pytest.CaptureFixture[str], function: str
) -> None:
    image = ["r/club@sha256:ab"] if function == "deploy" else []
    with pytest.raises(StageError, match=r"^track: refuses; the release stands; log in$"):
        anyio.run(lambda: getattr(pipeline, function)(run, None, *image, TRACKER, Caller()))
    assert json.loads(capsys.readouterr().out) == RECORD


def test_without_a_tracker_the_record_is_the_answer(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(anyio.run(lambda: pipeline.rollback(run, None, None, Caller()))) == RECORD  # type: ignore[arg-type]
    assert capsys.readouterr().out == ""
