"""Without a GPU anywhere: training asks the engine to pass one through, and goes on without where it may.

The engine's GPU support is switched on, and a recorder stands in for NVIDIA's hook: it notes what a
container asks for. What a real GPU then does is not shown here.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import engine, lifecycle, processes
from tests.calls import Dagger, Project
from tests.conftest import Lab


@pytest.fixture(scope="module")
def requests(lab: Lab) -> Iterator[Path]:
    """The recorder's notes, while the engine runs with it; afterwards the engine runs without."""
    lifecycle.up(cluster=True, gpu_recorder=True)
    yield engine.GPU / "requests.log"
    processes.stop(["engine"])
    lifecycle.up(cluster=True, gpu_recorder=False)


@pytest.mark.timeout(300)
def test_no_gpu_is_there_but_training_asks_for_all_of_them(
    dagger: Dagger, tumours: Project, requests: Path
) -> None:
    requests.unlink(missing_ok=True)
    answer = dagger.call(tumours.path, "train", options=["--gpu=on"])
    message = (
        "train: a GPU was asked for (--gpu=on), but the container sees no CUDA device; "
        "run the engine with GPU support on a machine that has one, or pass --gpu=off"
    )
    assert (answer.code, answer.errors) == (1, [message])
    assert set(requests.read_text().splitlines()) == {"NVIDIA_VISIBLE_DEVICES=all"}


@pytest.mark.timeout(300)
def test_no_gpu_is_there_and_auto_trains_without(dagger: Dagger, tumours: Project, requests: Path) -> None:
    requests.unlink(missing_ok=True)
    answer = dagger.call(tumours.path, "train", "entries", options=["--gpu=auto"])
    assert answer.code == 0
    assert "model.onnx" in answer.out.splitlines()
    # The question whether one is there.
    assert set(requests.read_text().splitlines()) == {"NVIDIA_VISIBLE_DEVICES=all"}


@pytest.mark.timeout(300)
def test_gpu_off_asks_for_none(dagger: Dagger, tumours: Project, requests: Path) -> None:
    requests.unlink(missing_ok=True)
    tumours.replace("ml-pipeline.toml", "steps = 500", "steps = 501")
    assert dagger.call(tumours.path, "train", options=["--gpu=off"]).code == 0
    assert not requests.exists()
