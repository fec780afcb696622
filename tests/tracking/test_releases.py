"""The champion on an MLflow server is what the cluster runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.calls import Answer, Dagger, Project
from tests.clusters import Target
from tests.conftest import Lab
from tests.mlflow_server import Mlflow, serving

pytestmark = pytest.mark.cluster


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
    deploy = f'\n[deploy]\nnamespace = "{target.namespace}"\nreplicas = 1\nwatch = 3\n'
    tumours.write(name, (tumours.path / name).read_text() + deploy)

    def ask(who: dict[str, str], function: str, *words: str) -> Answer:
        known = Dagger({**dagger.environment, **who})
        options = [f"--tracking-uri={mlflow.uri}", f"--tracking-server=tcp://localhost:{mlflow.port}"]
        options.append(f"--tracking-username={who['MLFLOW_TRACKING_USERNAME']}")
        options.append("--tracking-password=env://MLFLOW_TRACKING_PASSWORD")
        return known.call(tumours.path, function, *words, *lab.cluster, options=options)

    def call(function: str, *words: str) -> Answer:
        answer = ask(mlflow.variables, function, *words)
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
    flag = f"--image={image}"
    refused = ask(mlflow.guest(), "deploy", flag, "--force")  # the rollback left this image
    assert refused.code == 1
    assert refused.errors == [
        f"track: {mlflow.uri} refuses: HTTP 403 Forbidden; the release stands; "
        "check --tracking-username and --tracking-password, and what they are allowed to"
    ]
    assert image in str(target.get("pods"))
    assert mlflow.aliases("tumours") == {"candidate": "2", "champion": "1"}
    assert call("deploy", flag).record["action"] == "unchanged"
    assert mlflow.aliases("tumours") == {"candidate": "2", "champion": "2"}
