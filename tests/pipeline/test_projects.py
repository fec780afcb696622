"""Whole projects through the pipeline, with each kind of training; none of them is released."""

import re
from collections.abc import Callable

import pytest

from tests.calls import Dagger, Project, fact, stages
from tests.conftest import Lab

pytestmark = pytest.mark.engine


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
