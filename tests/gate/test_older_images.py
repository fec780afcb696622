"""Images outlive the code that built them: see serving/contract.py."""

import dataclasses
import json

import pytest
import urllib3

from tests.calls import Dagger, Project, stages
from tests.conftest import Lab
from tests.module_versions import at_commit

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

# The last commit whose images name their batch command nowhere: the gate of that time knew it by heart.
BEFORE_THE_LABEL = "58f08b9cfa6b14f3e54555ecb366eacee422d7c7"


@pytest.fixture(scope="module")
def older(dagger: Dagger, tmp_path_factory: pytest.TempPathFactory) -> Dagger:
    module = at_commit(BEFORE_THE_LABEL, tmp_path_factory.mktemp("older") / "module")
    return dataclasses.replace(dagger, module=module)


def built(dagger: Dagger, lab: Lab, project: Project, name: str) -> str:
    """Build the project's image by a version of the module and push it; return its reference."""
    address = f"{lab.registry}/versions/{name}:1"
    answer = dagger.call(project.path, "build-image", "publish", f"--address={address}")
    assert answer.code == 0, answer.errors
    return answer.out.strip()


def labels(lab: Lab, reference: str) -> dict[str, str]:
    """Read the labels of an image out of the registry."""
    name, _, digest = reference.removeprefix(f"{lab.registry}/").partition("@")
    base = f"http://{lab.registry}/v2/{name.partition(':')[0]}"
    kinds = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    manifest = urllib3.request("GET", f"{base}/manifests/{digest}", headers=kinds).json()
    config = urllib3.request("GET", f"{base}/blobs/{manifest['config']['digest']}").json()
    found: dict[str, str] = config["config"].get("Labels") or {}
    return found


def test_an_image_of_before_the_label_is_judged_as_a_baseline(
    dagger: Dagger, older: Dagger, lab: Lab, tumours: Project
) -> None:
    image = built(older, lab, tumours, "older")
    assert "ml-pipeline.batch-command" not in labels(lab, image)
    tumours.replace("ml-pipeline.toml", "{min = 0.85}", "{min = 0.85, max_regression = 0}")
    answer = dagger.call(tumours.path, "validate-gate", f"--baseline={image}")
    assert answer.code == 0, answer.errors
    assert "predict-baseline" in stages(answer.out)
    (row,) = [line for line in answer.out.splitlines() if line.startswith("| ✅ | `accuracy` |")]
    assert row.split("|")[3].split()[0] == row.split("|")[4].split()[0], "it is the same model"


def test_an_image_of_now_is_judged_by_the_code_of_before_the_label(
    dagger: Dagger, older: Dagger, lab: Lab, tumours: Project
) -> None:
    image = built(dagger, lab, tumours, "newer")
    command = json.loads(labels(lab, image)["ml-pipeline.batch-command"])
    assert command == ["/opt/venv/bin/python", "-m", "ml_pipeline.serving.predict"]
    answer = older.call(tumours.path, "validate-gate", f"--baseline={image}")
    assert answer.code == 0, answer.errors
    assert "predict-baseline" in stages(answer.out)
