"""Training on two nodes: the model of one, whichever pod is lost on the way, and nothing left behind."""

import csv
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import paths
from tests.calls import Dagger, Project
from tests.clusters import Target
from tests.conftest import Lab

pytestmark = pytest.mark.cluster

ROOM = 20_000_000_000  # bytes
TOLERANCE = 1e-5  # see tests/training/test_processes.py
TRAIN = """
[train.config]
epochs = 10
patience = 10
width = 512

[train.node]
cpu_millicores = 100
memory_mb = 3000
"""


@pytest.fixture
def room(dagger: Dagger) -> None:
    """Prune the engine's cache where the disk has less than the 20 GB that the training image takes.

    The engine would not do so by itself, for it is not the engine that fills the disk.
    """
    if shutil.disk_usage(paths.STATE).free < ROOM:
        prune = ["dagger", "core", "engine", "local-cache", "prune"]
        subprocess.run(prune, env=dagger.variables, check=True, capture_output=True)


@pytest.fixture
def node_without_image() -> Iterator[None]:
    """Take the training image from the node afterwards: it keeps 11 GB, packed and unpacked."""
    yield
    socket = str(paths.STATE / "containerd" / "containerd.sock")
    ctr = ["ctr", "--address", socket, "--namespace", "k8s.io", "images"]
    listed = subprocess.run([*ctr, "list"], check=True, capture_output=True, text=True).stdout
    digests = {words[0]: words[2] for words in map(str.split, listed.splitlines()[1:])}
    ours = {digest for name, digest in digests.items() if "/wine-training" in name}
    names = [name for name, digest in digests.items() if digest in ours]  # the node gave it one more
    subprocess.run([*ctr, "remove", "--sync", *names], check=True, capture_output=True)


@pytest.fixture
def slow(copy_of: Callable[[str], Project], target: Target) -> Project:
    """The built-in trainer's project, with so many rows and weights that its epochs take a second or so."""
    wine = copy_of("wine")
    header, *rows = (wine.path / "data" / "wine.csv").read_text().splitlines()
    wine.write("data/wine.csv", "\n".join([header, *rows * 120]) + "\n")
    wine.replace(
        "ml-pipeline.toml", "[gates]", f'{TRAIN}\n[deploy]\nnamespace = "{target.namespace}"\n\n[gates]'
    )
    return wine


def losses(model: Path) -> list[float]:
    rows = csv.DictReader((model / "history.csv").read_text().splitlines())
    return [float(row[key]) for row in rows for key in ("train_loss", "validation_loss")]


def left(target: Target) -> list[str]:
    items = target.get("jobs,services,pods")["items"]
    return [f"{each['kind']} {each['metadata']['name']}" for each in items]


def lose(target: Target, index: int) -> None:
    label = f"batch.kubernetes.io/job-completion-index={index}"
    target.kubectl("delete", "pods", "--selector", label, "--wait=false")


@pytest.mark.timeout(1800)
def test_two_nodes_of_which_each_is_lost_once_train_the_model_of_one(
    dagger: Dagger, lab: Lab, room: None, slow: Project, target: Target, node_without_image: None
) -> None:
    patient = Dagger(dagger.environment, timeout=900)
    alone = patient.call(slow.path, "train", "export", "--path=alone")
    assert alone.code == 0, alone.errors

    words = ("--nodes=2", f"--registry={lab.registry}/models", *lab.cluster, "export", "--path=together")
    waiting = {"epoch 3 of": 1, "epoch 6 of": 0}
    log = ""
    with dagger.start(slow.path, "train", *words) as process:
        assert process.stderr is not None
        for line in process.stderr:
            log += line
            for said in [said for said in waiting if said in line]:
                lose(target, waiting.pop(said))
    assert process.returncode == 0, log
    assert waiting == {}
    assert len(re.findall("continuing after epoch", log)) >= 2
    assert losses(slow.path / "together") == pytest.approx(losses(slow.path / "alone"), abs=TOLERANCE)
    assert (slow.path / "together" / "model.onnx").stat().st_size
    assert left(target) == []

    again = patient.call(slow.path, "train", *words)
    assert again.code == 0, again.errors
    assert "pods run" not in again.log, "the same training is answered from the cache"
    assert left(target) == []
