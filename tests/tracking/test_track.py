"""The tracking stage against a real MLflow server that asks who is there."""

import json
import math
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import programs
from tests.mlflow_server import USERNAME, Mlflow, serving

pytestmark = pytest.mark.program

GATE = {"metric": "accuracy", "status": "passed", "reason": "", "blocks": False}
VERDICT: dict[str, Any] = {
    "passed": True,
    "rows": 100,
    "metrics": {"accuracy": 0.9, "train_loss": 0.25, "drift.größe/m²": 0.1, "brier": None},
    "intervals": {"accuracy": [0.8, 0.95]},
    "reported": {"train_loss": 0.25},
    "gates": [GATE],
}
FAILED = VERDICT | {
    "passed": False,
    "gates": [GATE | {"status": "failed", "reason": "0.9 is below min 0.95", "blocks": True}],
}
STAGES = [{"stage": "train", "status": "passed"}]
RUN: dict[str, Any] = {
    "started": 1_700_000_000.5,
    "revision": "0123abc",
    "stages": STAGES,
    "split": {"train_rows": 456, "holdout_rows": 100, "sha256": {"data": "sha256:aa"}},
    "training": {"device": "cpu"},
    "model": {"version": "88ea58f96449", "runtime": "onnx"},
    "verdict": VERDICT,
}
SETTINGS = {"task": "classification", "command": None, "seed": 7, "config": {"net": {"width": [64, 32]}}}
HISTORY = "epoch,train_loss,note\n1,0.5,a\n2,nan,b\n3,inf,c\n4,0.25,\n"


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    with serving(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@dataclass
class Project:
    """A name of its own on the server, and the stage that tracks it."""

    mlflow: Mlflow
    folder: Path
    name: str = field(default_factory=lambda: f"club-{uuid.uuid4().hex[:8]}")

    def track(self, command: str, *words: str | Path, uri: str | None = None, **variables: str) -> Any:
        arguments = [command, "--uri", uri or self.mlflow.uri, "--name", self.name, *words]
        outcome = self.folder / "outcome.json"
        known = {**self.mlflow.variables, "ML_OUTCOME": str(outcome), **variables}
        done = programs.run("tracking.track", *arguments, **known)
        assert self.mlflow.password not in done.stdout + done.stderr + outcome.read_text()
        return done

    def log(self, settings: dict[str, Any] = SETTINGS, **changes: Any) -> dict[str, Any]:
        """Log a run that is as RUN but for the changes; return the outcome's details."""
        done = self.try_log(settings, self.mlflow.variables, **changes)
        assert done.returncode == 0, done.stderr
        return dict(json.loads((self.folder / "outcome.json").read_text())["details"])

    def try_log(self, settings: dict[str, Any], who: dict[str, str], **changes: Any) -> Any:
        documents = {"settings.json": settings, "run.json": {"name": self.name, **RUN, **changes}}
        for name, document in documents.items():
            (self.folder / name).write_text(json.dumps(document))
        paths = {
            f"--{option}": self.folder / name
            for option, name in {"config": "settings.json", "run": "run.json", "files": "files"}.items()
        }
        return self.track("log", *(word for pair in paths.items() for word in pair), **who)

    def run(self) -> dict[str, Any]:
        """Return the one run, its params, metrics and tags as dicts."""
        (found,) = self.mlflow.runs(self.name)
        data = {kind: {e["key"]: e["value"] for e in entries} for kind, entries in found["data"].items()}
        return {**found["info"], "params": {}, "metrics": {}, **data}

    def points(self, metric: str) -> list[tuple[int, Any]]:
        """Return step and value of all that a metric ever was."""
        run_id = self.run()["run_id"]
        found = self.mlflow.ask("GET", "metrics/get-history", run_id=run_id, metric_key=metric)
        return [(point["step"], point["value"]) for point in found["metrics"]]


@pytest.fixture
def project(mlflow: Mlflow, onnx_folder: Path, tmp_path: Path) -> Project:
    model = tmp_path / "files" / "model"
    shutil.copytree(onnx_folder, model)
    (model / "history.csv").write_text(HISTORY)
    (model / "plots").mkdir()
    (model / "plots" / "größe (50%25)#1?;\n.txt").write_text("as big as that")
    (model / "metrics.json").write_text('{"train_loss": 0.25}')
    (tmp_path / "files" / "verdict.json").write_text(json.dumps(VERDICT))
    return Project(mlflow, tmp_path)


def test_a_run_is_logged_whole_and_once(project: Project) -> None:
    details = project.log()
    run = project.run()
    assert (run["status"], run["run_name"], run["start_time"]) == (
        "FINISHED",
        "88ea58f96449",
        1_700_000_000_500,
    )
    assert run["params"] == {
        "task": "classification",
        "trainer": "built-in",
        "seed": "7",
        "device": "cpu",
        "train_rows": "456",
        "holdout_rows": "100",
        "config.net.width": "[64, 32]",
    }
    measured = {"gate/accuracy": 0.9, "gate/accuracy.low": 0.8, "gate/accuracy.high": 0.95}
    measured |= {"gate/drift.gr__e/m_": 0.1, "training/train_loss": 0.25, "epoch/train_loss": 0.25}
    assert run["metrics"] == measured
    steps, values = zip(*project.points("epoch/train_loss"), strict=True)
    assert steps == (1, 2, 3, 4)
    assert values[0::3] == (0.5, 0.25)
    assert math.isnan(float(values[1]))
    assert float(values[2]) > 1e308
    tags = {key: run["tags"][f"ml-pipeline.{key}"] for key in ("verdict", "data", "gate.accuracy")}
    assert tags == {"verdict": "passed", "data": "sha256:aa", "gate.accuracy": "passed"}
    assert run["tags"]["mlflow.source.git.commit"] == "0123abc"
    assert details["url"].startswith(f"{project.mlflow.uri}/#/experiments/{run['experiment_id']}/runs/")

    assert project.log() == details
    assert project.run() == run
    assert len(project.points("epoch/train_loss")) == 4


def test_mlflow_s_own_client_finds_and_loads_the_model(project: Project) -> None:
    details = project.log(release={"version": "88ea58f96449"})
    assert (details["version"], details["champion"]) == ("1", "1")
    program = (
        "import json, mlflow, mlflow.onnx, pathlib\n"
        f"model = mlflow.onnx.load_model('models:/{project.name}@champion')\n"
        f"files = mlflow.artifacts.list_artifacts(run_id='{details['run']}', artifact_path='model')\n"
        f"verdict = mlflow.artifacts.load_dict('runs:/{details['run']}/verdict.json')\n"
        f"plots = mlflow.artifacts.download_artifacts('runs:/{details['run']}/model/plots')\n"
        "verdict['plot'] = [path.name for path in pathlib.Path(plots).iterdir()]\n"
        "print(json.dumps([model.graph.name, sorted(file.path for file in files), verdict]))"
    )
    name, files, verdict = json.loads(project.mlflow.client(program))
    assert (name, verdict["passed"], verdict["plot"]) == ("club", True, ["größe (50_25)_1___.txt"])
    wanted = ("MLmodel", "history.csv", "metrics.json", "model.json", "model.onnx", "plots")
    assert files == [f"model/{name}" for name in wanted]


def test_what_fails_its_gate_is_not_registered_until_it_passes(project: Project) -> None:
    failed = [*STAGES, {"stage": "validate-gate", "status": "failed", "message": "accuracy 0.9 is below"}]
    assert "version" not in project.log(stages=failed, verdict=FAILED)
    run = project.run()
    assert run["status"] == "FAILED"
    assert run["tags"]["ml-pipeline.reason"] == "validate-gate: accuracy 0.9 is below"
    assert run["tags"]["ml-pipeline.gate.accuracy"] == "failed: 0.9 is below min 0.95"
    assert project.mlflow.versions(project.name) == []

    assert project.log()["version"] == "1"
    run = project.run()
    assert run["status"] == "FINISHED"
    assert "ml-pipeline.reason" not in run["tags"]
    assert project.mlflow.aliases(project.name) == {"candidate": "1"}

    project.log(stages=failed, verdict=FAILED)
    assert project.mlflow.aliases(project.name) == {}
    (version,) = project.mlflow.versions(project.name)
    assert {"key": "ml-pipeline.verdict", "value": "failed"} in version["tags"]


def test_versions_in_their_order_and_the_one_that_is_released(project: Project) -> None:
    project.log(release={"version": "88ea58f96449"})
    project.log(model={"version": "second", "runtime": "onnx"})
    assert project.mlflow.aliases(project.name) == {"candidate": "2", "champion": "1"}
    project.log(model={"version": "second", "runtime": "onnx"}, release={"version": "second"})
    assert project.mlflow.aliases(project.name) == {"candidate": "2", "champion": "2"}
    assert len(project.mlflow.runs(project.name)) == 2

    assert project.track("released", "--version", "88ea58f96449").returncode == 0
    assert project.mlflow.aliases(project.name)["champion"] == "1"
    gone = project.track("released", "--version", "before-all-this")
    assert gone.stdout == f"champion of {project.name}: none, for it is not registered\n"
    assert project.mlflow.aliases(project.name) == {"candidate": "2"}


def test_other_settings_of_the_same_model_are_another_run_of_the_same_version(project: Project) -> None:
    project.log()
    assert project.log(settings=SETTINGS | {"config": {}})["version"] == "1"
    assert len(project.mlflow.runs(project.name)) == 2
    assert len(project.mlflow.versions(project.name)) == 1


def test_a_call_without_a_model(project: Project) -> None:
    shutil.rmtree(project.folder / "files")
    (project.folder / "files").mkdir()
    broken = {"stage": "test", "status": "failed", "message": "1 of 3 tests failed"}
    for _ in range(2):
        assert "version" not in project.log(stages=[broken], model=None, verdict=None, training=None)
    run = project.run()
    assert (run["status"], run["run_name"]) == ("FAILED", "no model")
    assert run["tags"]["ml-pipeline.reason"] == "test: 1 of 3 tests failed"
    assert set(run["metrics"]) == set()
    project.log(stages=[broken], model=None, verdict=None, training=None, revision="another")
    assert len(project.mlflow.runs(project.name)) == 2


def test_a_logging_that_was_cut_short_is_ended_by_the_next(project: Project) -> None:
    project.log()
    run_id = project.run()["run_id"]
    project.mlflow.ask("POST", "runs/delete-tag", run_id=run_id, key="ml-pipeline.logged")
    project.mlflow.ask("POST", "runs/set-tag", run_id=run_id, key="ml-pipeline.created", value="1700000000")
    project.mlflow.ask("POST", "runs/update", run_id=run_id, status="RUNNING")
    project.log()
    assert project.run()["status"] == "FINISHED"
    assert [step for step, _ in project.points("epoch/train_loss")] == [1, 2, 3, 4]
    assert len(project.points("gate/accuracy")) == 1


def test_a_deleted_run_is_not_woken_up_and_its_model_is_registered_anew(project: Project) -> None:
    first = project.log(release={"version": "88ea58f96449"})
    project.mlflow.ask("POST", "runs/delete", run_id=first["run"])
    again = project.log(release={"version": "88ea58f96449"})
    assert again["run"] != first["run"]
    assert project.run()["status"] == "FINISHED"
    newest = project.mlflow.versions(project.name)[0]
    assert newest["run_id"] == again["run"], "whose artifacts there are"
    assert project.mlflow.aliases(project.name) == {
        "candidate": newest["version"],
        "champion": newest["version"],
    }


def test_after_a_failure_the_last_version_that_passed_is_the_candidate(project: Project) -> None:
    models = [{"version": f"v{number}", "runtime": "onnx"} for number in range(3)]
    for model in models:
        project.log(model=model)
    assert project.mlflow.aliases(project.name) == {"candidate": "3"}
    failed = [*STAGES, {"stage": "validate-gate", "status": "failed", "message": "accuracy is too low"}]
    project.log(model=models[2], stages=failed, verdict=FAILED)
    assert project.mlflow.aliases(project.name) == {"candidate": "2"}
    project.log(model=models[0], stages=failed, verdict=FAILED)
    assert project.mlflow.aliases(project.name) == {"candidate": "2"}


def test_failures_of_one_commit_for_other_reasons_are_other_runs(project: Project) -> None:
    for reason in ("1 of 3 tests failed", "2 of 3 tests failed", "1 of 3 tests failed"):
        broken = {"stage": "test", "status": "failed", "message": reason}
        project.log(stages=[broken], model=None, verdict=None, training=None)
    reasons = [
        next(tag["value"] for tag in run["data"]["tags"] if tag["key"] == "ml-pipeline.reason")
        for run in project.mlflow.runs(project.name)
    ]
    assert sorted(reasons) == ["test: 1 of 3 tests failed", "test: 2 of 3 tests failed"]


def test_equal_calls_at_once_are_one_run_and_one_version(project: Project) -> None:
    def log(number: int) -> dict[str, Any]:
        own = project.folder / str(number)
        shutil.copytree(project.folder / "files", own / "files")
        return Project(project.mlflow, own, project.name).log()

    with ThreadPoolExecutor(4) as pool:
        details = list(pool.map(log, range(4)))
    assert details == [details[0]] * 4
    assert [run["info"]["run_id"] for run in project.mlflow.runs(project.name)] == [details[0]["run"]]
    (version,) = project.mlflow.versions(project.name)
    assert (version["run_id"], version["version"]) == (details[0]["run"], details[0]["version"])
    assert len(project.points("epoch/train_loss")) == 4


def test_artifacts_go_where_a_store_with_a_host_has_them(project: Project) -> None:
    """Servers behind a name of their own write it into the location of each experiment."""
    own = f"mlflow-artifacts://localhost:{project.mlflow.port}/of-their-own"
    project.mlflow.ask("POST", "experiments/create", name=project.name, artifact_location=own)
    run = project.log()["run"]
    listed = project.mlflow.client(
        f"import mlflow\nprint([file.path for file in mlflow.artifacts.list_artifacts(run_id='{run}')])"
    )
    assert "verdict.json" in listed


def test_the_server_is_asked_by_its_own_name_wherever_it_is_reached(project: Project) -> None:
    port = str(project.mlflow.port)
    opened = project.track("open", "--connect", f"127.0.0.1:{port}", uri="http://localhost:1")
    assert opened.returncode == 0, opened.stderr
    refused = project.track("open", "--connect", f"127.0.0.1:{port}", uri="http://mlflow.example")
    assert refused.stderr == (
        "experiment: http://mlflow.example refuses: HTTP 403 Forbidden: Invalid Host header - possible "
        "DNS rebinding attack detected; name the host of --tracking-uri in mlflow server --allowed-hosts\n"
    )


@pytest.mark.parametrize(
    "variables", [{"MLFLOW_TRACKING_PASSWORD": "let me in"}, {"MLFLOW_TRACKING_USERNAME": ""}]
)
def test_who_is_not_known_is_refused(project: Project, variables: dict[str, str]) -> None:
    done = project.track("open", **variables)
    assert done.returncode == 1
    assert done.stderr == (
        f"experiment: {project.mlflow.uri} refuses: HTTP 401 Unauthorized; "
        "check --tracking-username and --tracking-password, and what they are allowed to\n"
    )
    assert USERNAME not in done.stderr


def test_who_may_only_read_is_refused(project: Project) -> None:
    project.track("open")
    done = project.try_log(SETTINGS, project.mlflow.guest())
    assert done.returncode == 1
    assert done.stderr == (
        f"track: {project.mlflow.uri} refuses: HTTP 403 Forbidden; "
        "check --tracking-username and --tracking-password, and what they are allowed to\n"
    )


def test_an_experiment_that_was_deleted(project: Project) -> None:
    project.track("open")
    found = project.mlflow.ask("GET", "experiments/get-by-name", experiment_name=project.name)["experiment"]
    project.mlflow.ask("POST", "experiments/delete", experiment_id=found["experiment_id"])
    done = project.track("open")
    assert done.returncode == 1
    assert f"has experiment {project.name!r} deleted; restore it there" in done.stderr


def test_a_project_s_own_description_of_its_model_is_kept(project: Project) -> None:
    own = project.folder / "files" / "model" / "MLmodel"
    own.write_text("flavors: {}\n")
    project.log()
    assert own.read_text() == "flavors: {}\n"


@pytest.mark.parametrize("elsewhere", ["s3://bucket/experiments", "mlflow-artifacts://other:5000/x"])
def test_an_experiment_whose_artifacts_the_server_does_not_take(project: Project, elsewhere: str) -> None:
    project.mlflow.ask("POST", "experiments/create", name=project.name, artifact_location=elsewhere)
    done = project.track("open")
    assert done.returncode == 1
    assert f"leaves artifacts of experiment {project.name!r} in {elsewhere} to clients" in done.stderr
