"""A run's key: the code that decides the weights, the same in the engine and in the container."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ml_pipeline.engine import programs
from ml_pipeline.training import weights_code
from ml_pipeline.training.weights_code import AFTER_TRAINING, FOLDER

PROGRAM = "ml_pipeline.training.train"
DIGEST = "from ml_pipeline.training import weights_code; print(weights_code.digest())"


def digest(folder: Path) -> str:
    """Return the digest that the package in a folder computes."""
    done = subprocess.run(
        [sys.executable, "-c", DIGEST], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """Return a folder with the package as the training container has it."""
    for path, text in programs.files(PROGRAM).items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path


def test_the_engine_and_the_container_compute_the_same_digest(container: Path) -> None:
    assert digest(container) == weights_code.digest()


@pytest.mark.parametrize(
    "module", ["common/outcome", "columns/types", *(f"training/tabular/{m}" for m in sorted(AFTER_TRAINING))]
)
def test_an_edit_of_other_code_keeps_checkpoints(container: Path, module: str) -> None:
    with (container / "ml_pipeline" / f"{module}.py").open("a") as file:
        file.write("# edited\n")
    assert digest(container) == weights_code.digest()


@pytest.mark.parametrize("module", sorted({path.stem for path in FOLDER.glob("*.py")} - AFTER_TRAINING))
def test_an_edit_of_the_trainer_makes_checkpoints_useless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    before = weights_code.digest()
    shutil.copytree(FOLDER, tmp_path / "tabular", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(weights_code, "FOLDER", tmp_path / "tabular")
    assert weights_code.digest() == before
    with (tmp_path / "tabular" / f"{module}.py").open("a") as file:
        file.write("# edited\n")
    assert weights_code.digest() != before


def test_what_runs_after_training_is_in_the_folder() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} > AFTER_TRAINING
