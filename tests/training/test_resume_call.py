"""Training that is killed in its container goes on from its checkpoint at the next call."""

import hashlib
import json
import os
import secrets
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_pipeline.engine import paths
from tests.calls import Dagger, Project

pytestmark = pytest.mark.engine

CONFIG = "ml-pipeline.toml"
TRAINER = b"ml_pipeline.training.train"
SETTINGS = paths.CONFIG.removeprefix("/")


@pytest.fixture
def slow(copy_of: Callable[[str], Project]) -> Project:
    """The built-in trainer's project with so many rows that a wide network's epochs take a second or so."""
    wine = copy_of("wine")
    header, *rows = (wine.path / "data" / "wine.csv").read_text().splitlines()
    wine.write("data/wine.csv", "\n".join([header, *rows * 150]) + "\n")
    return wine


def kill_after(dagger: Dagger, project: Project, epoch: int, seed: int) -> str:
    """Call `train`, kill the trainer when the log names an epoch, and return the log."""
    log = ""
    with dagger.start(project.path, "train") as process:
        assert process.stderr is not None
        for line in process.stderr:
            log += line
            if f"epoch {epoch} of" in line:
                for trainer in trainers(seed):
                    os.kill(trainer, signal.SIGKILL)
    assert process.returncode == 1, log
    return log


def trainers(seed: int) -> list[int]:
    """Processes of the stage that trains with this seed, by the settings that they see in their container.

    The lab's containers are on this machine, and beside them other tests train.
    """
    processes = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if TRAINER in words and json.loads((folder / "root" / SETTINGS).read_text())["seed"] == seed:
                processes.append(int(folder.name))
        except OSError:  # it has ended, or it runs outside of a container
            continue
    return processes


def weights(dagger: Dagger, project: Project) -> tuple[str, str]:
    """Train to the end; return the weights' digest, and the log."""
    answer = dagger.call(project.path, "train", "export", "--path=model")
    assert answer.code == 0, answer.errors
    content = (project.path / "model" / "weights.safetensors").read_bytes()
    return hashlib.sha256(content).hexdigest(), answer.log


@pytest.mark.timeout(600)
def test_a_run_that_is_killed_twice_ends_in_the_same_weights(dagger: Dagger, slow: Project) -> None:
    seed = secrets.randbelow(2**31)  # else an engine that ran this test before answers from its cache
    train = f"[train]\nseed = {seed}\n\n[train.config]\nwidth = 512\nepochs = 8"
    slow.replace(CONFIG, "[gates]", f"{train}\n\n[gates]")
    for epoch in (3, 5):
        log = kill_after(dagger, slow, epoch, seed)
        assert "train: ran out of memory or was killed (exit 137); give the engine more memory" in log
    assert "continuing after epoch" in log
    resumed, log = weights(dagger, slow)
    assert "continuing after epoch" in log
    assert "epoch 1 of 8" not in log
    # The default, said in so many words: the same training, and another run to the engine.
    slow.replace(CONFIG, "epochs = 8", "epochs = 8\npatience = 8")
    whole, log = weights(dagger, slow)
    assert "epoch 1 of 8" in log
    assert whole == resumed
