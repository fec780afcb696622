"""Without a GPU anywhere: training asks the engine to pass one through, and goes on without where it may.

The engine's GPU support is switched on, and a recorder stands in for NVIDIA's hook: it notes what a
container asks for. What a real GPU then does is not shown here.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import engine, lifecycle, processes
from tests import cuda_image, engine_lock
from tests.calls import Dagger, Project
from tests.conftest import Lab

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def requests(lab: Lab) -> Iterator[Path]:
    """The recorder's notes, while the engine runs with it; afterwards the engine runs without."""
    with engine_lock.alone():
        lifecycle.up(cluster=True, gpu_recorder=True)
        yield engine.GPU / "requests.log"
        processes.stop(["engine"])
        lifecycle.up(cluster=True, gpu_recorder=False)


@pytest.mark.timeout(700)
def test_no_gpu_is_there_but_training_asks_for_all_of_them(
    dagger: Dagger, tumours: Project, requests: Path
) -> None:
    tumours.train_anew()
    requests.unlink(missing_ok=True)
    answer = dagger.call(tumours.path, "train", options=["--gpu=on"])
    message = (
        "train: a GPU is required (--gpu=on), but the container has no CUDA device; "
        "run the engine with GPU support on a machine that has a GPU, or pass --gpu=off"
    )
    assert (answer.code, answer.errors) == (1, [message])
    assert set(requests.read_text().splitlines()) == {"NVIDIA_VISIBLE_DEVICES=all"}


@pytest.mark.timeout(700)
def test_no_gpu_is_there_and_auto_trains_without(dagger: Dagger, tumours: Project, requests: Path) -> None:
    tumours.train_anew()
    requests.unlink(missing_ok=True)
    answer = dagger.call(tumours.path, "train", "entries", options=["--gpu=auto"])
    assert answer.code == 0
    assert "model.onnx" in answer.out.splitlines()
    # The question whether one is there.
    assert set(requests.read_text().splitlines()) == {"NVIDIA_VISIBLE_DEVICES=all"}


@pytest.mark.timeout(700)
def test_gpu_off_asks_for_none(dagger: Dagger, tumours: Project, requests: Path) -> None:
    tumours.train_anew()
    requests.unlink(missing_ok=True)
    assert dagger.call(tumours.path, "train", options=["--gpu=off"]).code == 0
    assert not requests.exists()


@pytest.mark.timeout(900)
def test_an_image_for_a_gpu_is_judged_with_one(
    dagger: Dagger, lab: Lab, copy_of: Callable[[str], Project], requests: Path
) -> None:
    # It says that there is a GPU, and so its containers ask for it.
    image = cuda_image.push(dagger, lab.registry, nvidia_smi="echo GPU 0: a name")
    options = [f"--training-image={image}"]
    flowers = cuda_image.wanting(copy_of("flowers"))
    flowers.train_anew()
    requests.unlink(missing_ok=True)
    assert dagger.call(flowers.path, "train", options=options).code == 0
    training = len(requests.read_text().splitlines())
    judged = dagger.call(flowers.path, "full-pipeline", options=options)
    assert judged.code == 0, judged.errors
    assert "| gpu | `cuda (2x a name)` |" in judged.out.splitlines()
    # It answers the holdout, starts cold, and serves; the judge itself needs none.
    assert len(requests.read_text().splitlines()) - training >= 3
    assert set(requests.read_text().splitlines()) == {"NVIDIA_VISIBLE_DEVICES=all"}
