"""The main job: one call from a project's source to pods that answer."""

import json
import re
import time
from collections.abc import Callable

import pytest

from ml_pipeline.release import manifests
from tests.calls import ROOT, Answer, Dagger, Project, ask, stages
from tests.clusters import Target
from tests.conftest import Lab
from tests.pipeline.test_functions import ROW

pytestmark = pytest.mark.cluster


def fact(answer: Answer, label: str) -> str:
    """Return what the summary's first table says."""
    found = re.search(rf"^\| {label} \| `(.*)` \|$", answer.out, re.MULTILINE)
    assert found, answer.out
    return found[1]


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
    assert re.search(r"^\| `accuracy` \| 0\.\d+ \[.+\] \| 0\.\d+ \|$", second.out, re.MULTILINE), second.out
    wait_for_version(address, fact(second, "model"))

    back = dagger.call(tumours.path, "rollback", *lab.cluster)
    assert back.code == 0, back.errors
    record = back.record
    assert (record["action"], record["digest"]) == ("rolled-back", digest)
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

    again = patient.call(ROOT, "full-pipeline", *flags)
    assert again.code == 0, again.errors
    assert "unchanged" in fact(again, "release")
    # Where the lab's cluster ran another model before, the first call compared with that one.
    assert ran(again) <= {"validate-data", "validate-gate"}


@pytest.mark.timeout(900)
def test_a_small_project_with_the_built_in_trainer(dagger: Dagger, copy_of: Callable[[str], Project]) -> None:
    wine = copy_of("wine")
    answer = dagger.call(wine.path, "full-pipeline")
    assert answer.code == 0, answer.errors
    assert "## ✅ wine: may ship" in answer.out
    assert "no --registry: the image was not published" in answer.out.replace("\\", "")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("flowers", 0.9),  # scikit-learn, served by a predictor of its own
        ("digits", 0.95),  # a plain PyTorch loop; a new engine fetches torch for it
    ],
)
def test_projects_with_training_of_their_own(
    lab: Lab, dagger: Dagger, copy_of: Callable[[str], Project], name: str, least: float
) -> None:
    patient = Dagger(dagger.environment, timeout=900)
    answer = patient.call(copy_of(name).path, "full-pipeline", f"--registry={lab.registry}/models")
    assert answer.code == 0, answer.errors
    assert fact(answer, "image").startswith(f"{lab.registry}/models/{name}:")
    accuracy = re.search(r"^\| `accuracy` \| ([0-9.]+) ", answer.out, re.MULTILINE)
    assert accuracy
    assert float(accuracy[1]) > least


def test_a_study_that_ends_in_figures_is_judged_by_them(
    dagger: Dagger, lab: Lab, copy_of: Callable[[str], Project]
) -> None:
    diabetes = copy_of("diabetes")
    answer = dagger.call(diabetes.path, "full-pipeline", f"--registry={lab.registry}/models")
    assert answer.code == 0, answer.errors
    assert "2 of 2 gates passed" in answer.out
    assert "serve.runtime = false: no image was built" in answer.out
    assert "publish" not in stages(answer.out)
    diabetes.replace("ml-pipeline.toml", "explained = {min = 0.4}", "explained = {min = 0.9}")
    failed = dagger.call(diabetes.path, "full-pipeline")
    assert failed.code == 1
    assert re.match(r"validate-gate: explained 0\.\d+ is below min 0\.9 ", failed.errors[0])
