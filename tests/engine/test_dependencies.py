"""Which packages a project's own files ask for."""

import pytest

from ml_pipeline.engine import dependencies
from ml_pipeline.engine.dependencies import Dependencies
from ml_pipeline.errors import ConfigError

PYPROJECT = """
[project]
dependencies = ["numpy==2.4.6"]
[project.optional-dependencies]
test = ["hypothesis==6.0"]
docs = ["sphinx==8.0"]
[dependency-groups]
lint = ["ruff==0.1"]
dev = [{include-group = "lint"}, "pytest==9.0.3", {include-group = "dev"}]
"""


def test_runtime_is_requirements_files_and_project_dependencies() -> None:
    entries = ["requirements-model.txt", "requirements-test.txt", "src/"]
    assert dependencies.runtime(entries, PYPROJECT) == Dependencies(
        ("requirements-model.txt",), ("numpy==2.4.6",)
    )


def test_extras_that_training_asks_for() -> None:
    found = dependencies.runtime([], PYPROJECT, ["docs", "test"])
    assert found.listed == ("numpy==2.4.6", "sphinx==8.0", "hypothesis==6.0")
    with pytest.raises(ConfigError) as failed:
        dependencies.runtime([], PYPROJECT, ["doc"])
    cause = "train.extras names 'doc', which [project.optional-dependencies] does not define"
    assert str(failed.value) == f"config: {cause}; did you mean 'docs'?"


def test_testing_adds_test_files_groups_and_extras() -> None:
    found = dependencies.testing(["requirements.txt", "requirements-dev.txt"], PYPROJECT)
    assert found.files == ("requirements.txt", "requirements-dev.txt")
    assert found.listed == ("numpy==2.4.6", "hypothesis==6.0", "ruff==0.1", "pytest==9.0.3")


def test_a_project_without_any_of_them() -> None:
    assert dependencies.testing(["train.py"], None) == Dependencies((), ())


def test_torch_is_shared_where_it_is_the_trainer_s_own() -> None:
    pin = dependencies.TORCH
    assert pin.startswith("torch==")
    assert dependencies.wants_torch(["numpy==2.4.6\n" + pin.replace("==", " == ") + "  # pinned\n"])
    assert dependencies.wants_torch(["numpy==2.4.6", f"{pin}; python_version > '3'"])
    assert not dependencies.wants_torch(["torch==1.0.0\ntorchvision==0.1\n# " + pin])


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (
            "  x No solution found when resolving dependencies:\n"
            "  ╰─▶ Because gem was not found in the package registry and you\n      require gem==1, we can\n"
            "      conclude that your requirements are unsatisfiable.\n\n      hint: look\n      elsewhere\n",
            "Because gem was not found in the package registry and you require gem==1, "
            "we can conclude that your requirements are unsatisfiable",
        ),
        (
            "  x Failed to download `gem==1`\n  ╰─▶ Hash mismatch for `gem==1`\n\n      Expected:\n"
            "        sha256:00\n\n      Computed:\n        sha256:47\n",
            "Hash mismatch for `gem==1` Expected: sha256:00 Computed: sha256:47",
        ),
        ("error: Couldn't parse requirement in `r.txt`\n", "error: Couldn't parse requirement in `r.txt`"),
    ],
)
def test_the_installer_s_own_reason_is_one_line(told: str, reason: str) -> None:
    assert dependencies.installer_reason(told) == reason
