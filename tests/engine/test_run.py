"""A run records its stages, also those that crash, and describes itself; the engine is a stand-in."""

import re
from typing import Any

import anyio
import pytest

from ml_pipeline.common.document import Image, ReleaseRecord, StageRecord, Training
from ml_pipeline.engine.run import Finished, Run, service_port, side_by_side
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import ConfigError, StageError, StagesError
from ml_pipeline.project.config import parse
from tests.engine import stand_ins
from tests.engine.stand_ins import Container, End, Service, exec_error, outcome, query_error

PROJECT = parse(None, 'name = "club"\ntask = "classification"\n[data]\npath = "a.csv"\ntarget = "x"\n')
TRAIN = Stage("train", "ml_pipeline.training.train", part="training")
WEIGH = Stage("weigh-image")


@pytest.fixture
def run() -> Run:
    return stand_ins.run(PROJECT)


def stage(run: Run, *ends: End, **options: Any) -> Finished:
    """Run the train stage, whose command ends so; a second end is that of the second try."""
    return anyio.run(lambda: run.stage(TRAIN, Container(ends), ["--config", "c"], **options))  # type: ignore[arg-type]


def failure(run: Run, *ends: End) -> str:
    with pytest.raises(StageError) as error:
        stage(run, *ends)
    return str(error.value)


def test_a_stage_that_passes_is_recorded_with_its_details(run: Run) -> None:
    finished = stage(run, End(outcome(details={"device": "cpu", "a_newer_key": 1})))
    container: Any = finished.container
    assert container.commands == (("/opt/venv/bin/python", "-m", TRAIN.program, "--config", "c"),)
    assert container.variables == {"ML_OUTCOME": "/outcome/outcome.json", "ML_STAGE": "train"}
    assert finished.details["device"] == "cpu"
    assert run.stages == [StageRecord("train", "passed", 1.5, cached=False)]
    assert run.outputs == {"train": "/output"}
    assert run.document().training == Training(device="cpu")


def test_a_command_of_an_image_takes_the_program_s_place(run: Run) -> None:
    container: Any = stage(run, End(outcome()), command=["/bin/predict"]).container
    assert container.commands == (("/bin/predict", "--config", "c"),)


def test_a_stage_that_fails_has_its_own_words_and_its_details(run: Run) -> None:
    text = outcome("failed", message="no rows", hint="add some", details={"gpus": ["H200"]})
    assert failure(run, End(text)) == "train: no rows; add some"
    assert run.stages == [
        StageRecord("train", "failed", 1.5, cached=False, message="no rows", hint="add some")
    ]
    assert run.document().status == "failed"
    assert run.document().training == Training(gpus=("H200",))
    assert "train" in run.outputs


def test_an_outcome_from_before_the_run_is_cached(run: Run) -> None:
    stage(run, End(outcome(started=1.0)))
    assert run.stages[0].cached is True


def test_a_failure_from_the_cache_is_tried_again(run: Run) -> None:
    cached = End(outcome("failed", message="no memory", hint="add some", started=1.0))
    finished = stage(run, cached, End(outcome()))
    assert run.stages == [StageRecord("train", "passed", 1.5, cached=False)]
    assert len(finished.container.commands) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (End(outcome("unfinished"), 1, "Traceback\nOSError: no\n\n"), "exited with code 1: OSError: no"),
        (End(outcome("unfinished"), 139), "exited with code 139 and printed nothing"),
        (End(query_error("no such file"), 2, "usage"), "exited with code 2: usage"),
        (End(query_error("x"), exec_error(137, "")), "ran out of memory or was killed (exit 137)"),
        (
            End(query_error("x"), exec_error(1, "a\nno such package")),
            "could not be prepared: no such package (exit 1)",
        ),
        (
            End(query_error("what: the disk is full [traceparent:00-1]"), query_error("y")),
            "could not be started: what: the disk is full",
        ),
        (
            End(query_error("failed: GPU support is not enabled"), query_error("y")),
            "a GPU was asked for (--gpu=on), but the engine has no GPU support",
        ),
    ],
)
def test_a_crash_is_recorded_with_what_is_known_of_it(run: Run, end: End, message: str) -> None:
    assert failure(run, end).startswith(f"train: {message}; ")
    (record,) = run.stages
    assert (record.stage, record.status, record.message) == ("train", "failed", message)
    assert (record.seconds, record.cached) == (None, None)


def test_files_that_the_engine_looked_for_in_another_call_s_folder(run: Run) -> None:
    lost = "load source: failed to snapshot: rpc error: code = NotFound desc = get full root path: rpc error"
    line = "another call on this engine, with the same files in another folder, ended meanwhile; call again"
    assert failure(run, End(query_error(lost), query_error("y"))) == f"train: {line}"
    with pytest.raises(StageError, match=f"^weigh-image: {line}$"):
        anyio.run(lambda: run.timed(WEIGH, _work(query_error(lost))))


async def _work(result: int | Exception) -> int:
    if isinstance(result, Exception):
        raise result
    return result


def test_the_engine_s_own_work_is_timed(run: Run) -> None:
    assert anyio.run(lambda: run.timed(WEIGH, _work(3))) == 3
    (record,) = run.stages
    assert (record.stage, record.status, record.cached) == ("weigh-image", "passed", None)
    assert record.seconds is not None


def test_the_engine_s_refusal_is_one_line(run: Run) -> None:
    error = query_error("first\nthe registry is full.  [traceparent:00-12-01]")
    with pytest.raises(StageError, match=r"^weigh-image: the registry is full; see the engine's log above$"):
        anyio.run(lambda: run.timed(WEIGH, _work(error)))
    assert [record.status for record in run.stages] == ["failed"]


def test_work_that_ends_in_a_defect_has_not_passed(run: Run) -> None:
    with pytest.raises(ZeroDivisionError):
        anyio.run(lambda: run.timed(WEIGH, _work(ZeroDivisionError())))
    assert run.stages == []


def test_a_failure_that_was_amended_leaves_the_stages_before_as_they_are(run: Run) -> None:
    """The fault: a tracking server that failed wrote into the record of the deploy stage."""
    run.stages.append(StageRecord("deploy", seconds=3.0))
    failed = run.amend(StageError("track", "no server; the release stands", "start one"))
    assert str(failed) == "track: no server; the release stands; start one"
    failed = run.amend(StageError("track", "still none", "start one"))
    assert run.stages == [
        StageRecord("deploy", seconds=3.0),
        StageRecord("track", "failed", message="still none", hint="start one"),
    ]


def test_a_failure_without_a_record_is_noted_once(run: Run) -> None:
    run.stages.append(StageRecord("lint", "failed", message="2 findings"))
    failures = StagesError([StageError("lint", "2 findings", "fix"), StageError("build-image", "no", "do")])
    run.note(failures)
    run.note(failures)
    assert [record.stage for record in run.stages] == ["lint", "build-image"]


def test_a_fault_of_the_configuration_is_noted(run: Run) -> None:
    run.note(ConfigError("train.search tries settings on one machine", "remove it"))
    assert run.stages == [
        StageRecord(
            "config", "failed", message="train.search tries settings on one machine", hint="remove it"
        )
    ]
    assert run.document().status == "failed"


def test_the_document_has_what_the_run_knows(run: Run) -> None:
    run.image, run.revision, run.gpu = Image("r/club:1@sha256:ab", "sha256:ab"), "0123abc", "cpu"
    run.release = ReleaseRecord("created", "club", "models")
    run.notes.append("no baseline")
    run.details["verdict"] = {"passed": True}
    document = run.document()
    assert (document.name, document.status, document.started) == ("club", "passed", 1e9)
    assert (document.image, document.release) == (run.image, run.release)
    assert (document.revision, document.gpu, document.notes) == ("0123abc", "cpu", ("no baseline",))
    assert (document.verdict, document.tests) == ({"passed": True}, None)
    assert document.seconds is not None


def port(numbers: list[int] | Exception) -> int:
    service: Any = Service(numbers)
    return anyio.run(lambda: service_port("deploy", service, "--kube-api"))


def test_a_service_s_port() -> None:
    assert port([6443, 1]) == 6443


@pytest.mark.parametrize(
    ("numbers", "cause"),
    [
        ([], "the service of --kube-api has no port"),
        (query_error("x\nconnection refused"), "--kube-api can't be reached: connection refused"),
    ],
)
def test_a_service_that_can_t_be_used(numbers: list[int] | Exception, cause: str) -> None:
    line = f"deploy: {cause}; pass --kube-api=tcp://HOST:PORT of a server that is up"
    with pytest.raises(StageError, match=f"^{re.escape(line)}$"):
        port(numbers)


async def _fail(stage: str) -> int:
    await anyio.sleep(0)
    raise StageError(stage, "no", "do")


def test_side_by_side_gives_results_in_order_and_hides_no_failure() -> None:
    assert anyio.run(lambda: side_by_side(lambda: _work(1), lambda: _work(2))) == [1, 2]
    with pytest.raises(StageError, match=r"^lint: no; do$"):
        anyio.run(lambda: side_by_side(lambda: _work(1), lambda: _fail("lint")))
    with pytest.raises(StagesError, match=r"^lint: no; do\ntest: no; do$"):
        anyio.run(lambda: side_by_side(lambda: _fail("lint"), lambda: _fail("test")))
