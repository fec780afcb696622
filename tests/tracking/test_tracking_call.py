"""Runs on a real MLflow server that only this machine reaches, through the real command line."""

from collections.abc import Iterator

import pytest

from tests.calls import Answer, Dagger, Project
from tests.mlflow_server import USERNAME, Mlflow, serving

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def mlflow(dagger: Dagger, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    with serving(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


def tracked(dagger: Dagger, mlflow: Mlflow, project: Project, function: str) -> Answer:
    """Call a function as the server's user; the password is never seen."""
    known = Dagger({**dagger.environment, "TRACKING_PASSWORD": mlflow.password})
    options = [f"--tracking-uri={mlflow.uri}", f"--tracking-server=tcp://localhost:{mlflow.port}"]
    options += [f"--tracking-username={USERNAME}", "--tracking-password=env://TRACKING_PASSWORD"]
    answer = known.call(project.path, function, options=options)
    assert mlflow.password not in answer.log + answer.out
    return answer


def test_the_same_model_is_one_run_from_its_training_to_its_verdict(
    dagger: Dagger, mlflow: Mlflow, tumours: Project
) -> None:
    trained = tracked(dagger, mlflow, tumours, "train")
    assert trained.code == 0, trained.errors
    (run,) = mlflow.runs("tumours")
    names = {metric["key"] for metric in run["data"]["metrics"]}
    assert (run["info"]["status"], names) == ("FINISHED", {"epoch/train_loss", "training/train_loss"})
    assert mlflow.versions("tumours") == []

    for _ in range(2):
        passed = tracked(dagger, mlflow, tumours, "full-pipeline")
        assert passed.code == 0, passed.errors
        (run,) = mlflow.runs("tumours")
        run_id, experiment = run["info"]["run_id"], run["info"]["experiment_id"]
        url = f"{mlflow.uri}/#/experiments/{experiment}/runs/{run_id}"
        assert f"| tracked | `{url} (version 1)` |" in passed.out
        assert mlflow.aliases("tumours") == {"candidate": "1"}
    params = {param["key"]: param["value"] for param in run["data"]["params"]}
    assert params["config.steps"] == "500"
    assert params["trainer"] == "python -m tumours.train"
    artifacts = mlflow.ask("GET", "artifacts/list", run_id=run_id, path="model")["files"]
    wanted = {"MLmodel", "history.csv", "metrics.json", "model.json", "model.onnx"}
    assert {file["path"] for file in artifacts} == {f"model/{name}" for name in wanted}

    tumours.replace("ml-pipeline.toml", "accuracy = {min = 0.85}", "accuracy = {min = 1}")
    failed = tracked(dagger, mlflow, tumours, "validate-gate")
    assert failed.code == 1
    assert failed.errors[0].startswith("validate-gate: accuracy 0.")
    (run,) = mlflow.runs("tumours")
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert (run["info"]["status"], tags["ml-pipeline.verdict"]) == ("FAILED", "failed")
    assert tags["ml-pipeline.reason"].startswith("validate-gate: accuracy 0.")
    assert mlflow.aliases("tumours") == {}


def test_a_server_that_is_not_there_is_known_before_anything_runs(dagger: Dagger, tumours: Project) -> None:
    options = ["--tracking-uri=http://localhost:5999", "--tracking-server=tcp://localhost:5999"]
    answer = dagger.call(tumours.path, "full-pipeline", options=options)
    line = (
        "experiment: http://localhost:5999 can't be reached: Remote end closed connection without response; "
        "check --tracking-uri; for a server on your loopback pass --tracking-server=tcp://localhost:PORT too"
    )
    assert (answer.code, answer.errors) == (1, [line])
    assert "| ❌ | experiment |" in answer.log
    assert "| ✅ |" not in answer.log
