"""The champion on an MLflow server is what the cluster runs."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.calls import Answer, Dagger, Project
from tests.cluster.stage import Target
from tests.conftest import Lab
from tests.mlflow_server import Mlflow, serving


@pytest.fixture
def target(lab: Lab, tmp_path: Path) -> Iterator[Target]:
    """A namespace that does not exist yet."""
    made = Target(tmp_path, lab.kubeconfig, f"tracked-{uuid.uuid4().hex[:8]}", lab.kubeconfig)
    yield made
    made.kubectl("delete", "namespace", made.namespace, "--ignore-not-found", "--wait=false")


@pytest.fixture
def mlflow(dagger: Dagger, tmp_path: Path) -> Iterator[Mlflow]:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    with serving(folder) as server:
        yield server


@pytest.mark.timeout(600)
def test_the_champion_goes_with_releases_and_rollbacks(
    dagger: Dagger, lab: Lab, tumours: Project, target: Target, mlflow: Mlflow
) -> None:
    name = "ml-pipeline.toml"
    deploy = f'\n[deploy]\nnamespace = "{target.namespace}"\nreplicas = 1\n'
    tumours.write(name, (tumours.path / name).read_text() + deploy)
    known = Dagger({**dagger.environment, "TRACKING_PASSWORD": mlflow.password})
    options = [f"--tracking-uri={mlflow.uri}", f"--tracking-server=tcp://localhost:{mlflow.port}"]
    options += ["--tracking-username=tracker", "--tracking-password=env://TRACKING_PASSWORD"]

    def call(function: str, *words: str) -> Answer:
        answer = known.call(tumours.path, function, *words, *lab.cluster, options=options)
        assert answer.code == 0, answer.errors
        return answer

    registry = f"--registry={lab.registry}/models"
    first = call("full-pipeline", registry)
    assert "(version 1, champion)" in first.out
    tumours.replace(name, "steps = 500", "steps = 400")
    assert "(version 2, champion)" in call("full-pipeline", registry).out
    assert mlflow.aliases("tumours") == {"candidate": "2", "champion": "2"}
    image = next(
        tag["value"] for tag in mlflow.versions("tumours")[0]["tags"] if tag["key"].endswith(".image")
    )

    assert call("rollback").record["action"] == "rolled-back"
    assert mlflow.aliases("tumours") == {"candidate": "2", "champion": "1"}
    assert call("deploy", f"--image={image}").record["image"] == image
    assert mlflow.aliases("tumours") == {"candidate": "2", "champion": "2"}
