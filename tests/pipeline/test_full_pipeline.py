"""The main job: one call from a project's source to pods that answer."""

import json
import re
import time

import pytest

from ml_pipeline.release import manifests
from tests.calls import ROOT, Answer, Dagger, Project, ask, fact, stages
from tests.clusters import Target
from tests.conftest import Lab
from tests.pipeline.test_functions import ROW

pytestmark = pytest.mark.cluster


def ran(answer: Answer) -> set[str]:
    """Return the stages that were not answered from the cache, of those that ever are."""
    never = {"build-image", "publish", "deploy", "baseline"}
    return {stage for stage, took in stages(answer.out).items() if took != "cached"} - never


def wait_for_version(address: str, version: str) -> None:
    """Wait until the service answers as this version of the model: pods of the one before drain first."""
    deadline = time.monotonic() + manifests.DRAIN_S
    while (found := ask(address, {"instances": [ROW]})["model"]["version"]) != version:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@pytest.mark.timeout(900)
def test_released_left_alone_updated_and_rolled_back(
    dagger: Dagger, lab: Lab, tumours: Project, target: Target
) -> None:
    name = "ml-pipeline.toml"
    deploy = f'\n[deploy]\nnamespace = "{target.namespace}"\nreplicas = 1\nwatch = 3\n'
    deploy += 'strategy = "blue-green"\nkeep = 0\n'
    tumours.write(name, (tumours.path / name).read_text() + deploy)
    flags = (f"--registry={lab.registry}/models", *lab.cluster)

    first = dagger.call(tumours.path, "full-pipeline", *flags)
    assert first.code == 0, first.errors
    assert "## ✅ tumours: released" in first.out
    assert "created" in fact(first, "release")
    image = fact(first, "image")
    assert image.startswith(f"{lab.registry}/models/tumours:")
    digest = image.rpartition("@")[2]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    assert digest in json.dumps(target.get("pods"))
    address = f"http://{target.get('service', 'tumours')['spec']['clusterIP']}/predict"
    answer = ask(address, {"instances": [ROW]})
    assert answer["predictions"] == ["malignant"]
    assert answer["model"] == {"name": "tumours", "version": fact(first, "model")}

    pods = target.pods()
    again = dagger.call(tumours.path, "full-pipeline", *flags)
    assert again.code == 0, again.errors
    assert "unchanged" in fact(again, "release")
    assert fact(again, "image") == image
    assert target.pods() == pods
    assert ran(again) <= {"validate-data"}, "it has a reference now: what the cluster runs"
    assert f"the baseline is what the cluster runs: {image}" in again.out
    third = dagger.call(tumours.path, "full-pipeline", *flags)
    assert (ran(third), target.pods()) == (set(), pods)

    tumours.replace(name, "steps = 500", f"steps = {50 + time.time_ns() % 400}")
    second = dagger.call(tumours.path, "full-pipeline", *flags)
    assert second.code == 0, second.errors
    assert "updated" in fact(second, "release")
    assert re.search(r"^\| `accuracy` \| 0\.\d+ \[.+\] \| 0\.\d+ \|", second.out, re.MULTILINE), second.out
    wait_for_version(address, fact(second, "model"))

    back = dagger.call(tumours.path, "rollback", *lab.cluster)
    assert back.code == 0, back.errors
    record = back.record
    assert (record["action"], record["digest"]) == ("rolled-back", digest)
    assert (record["strategy"], record["deployment"]) == ("blue-green", "tumours-blue")
    wait_for_version(address, fact(first, "model"))

    left = f"--image={fact(second, 'image')}"
    (line,) = dagger.call(tumours.path, "deploy", left, *lab.cluster).errors
    assert line.endswith("was taken back as revision 2; release another image, or pass --force")
    alone = dagger.call(tumours.path, "deploy", left, "--force", *lab.cluster)
    assert alone.code == 0, alone.errors
    record = alone.record
    assert (record["action"], record["previous_image"]) == ("updated", image)
    assert record["prediction"]["answer"]["model"]["name"] == "tumours"
    same = dagger.call(tumours.path, "deploy", left, *lab.cluster)
    assert same.record["action"] == "unchanged"


@pytest.mark.timeout(1800)
def test_the_bundled_example_is_released_and_answers_the_readme_s_row(dagger: Dagger, lab: Lab) -> None:
    flags = (f"--registry={lab.registry}/models", *lab.cluster)
    patient = Dagger(
        dagger.environment, timeout=850
    )  # it runs this project's own tests, and watches a release
    answer = patient.call(ROOT, "full-pipeline", *flags)
    assert answer.code == 0, answer.errors
    accuracy = re.search(r"^\| `accuracy` \| ([0-9.]+) \[", answer.out, re.MULTILINE)
    assert accuracy
    assert float(accuracy[1]) >= 0.85
    assert re.search(r"@sha256:[0-9a-f]{64}$", fact(answer, "image"))
    assert "models" in fact(answer, "release")
    block = re.search(r"```json\n(\{\"instances\".*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block
    target = Target(ROOT, lab.kubeconfig, "models", lab.kubeconfig)
    address = f"http://{target.get('service', 'adult-income')['spec']['clusterIP']}/predict"
    said = ask(address, json.loads(block[1]))
    assert said["predictions"] == ["<=50K"]
    assert said["model"]["name"] == "adult-income"
