"""The image that serves on a GPU, on a machine without one: what it is built on, and what it needs.

A file with torch's name stands in for the training image's torch. What a real GPU does is not shown here.
"""

import subprocess
from collections.abc import Callable

import pytest

from ml_pipeline.dependencies import TORCH
from tests.calls import Dagger, Project
from tests.conftest import Lab

SYSTEM = "/usr/lib/python3/dist-packages"
VERSION = TORCH.partition("==")[2]
METADATA = f"Metadata-Version: 2.1\nName: torch\nVersion: {VERSION}+cu128\n"


@pytest.fixture
def flowers(project: Callable[[str], Project]) -> Project:
    """A project that brings its own predictor, and says that it needs torch and a GPU."""
    flowers = project("flowers")
    flowers.replace("ml-pipeline.toml", 'runtime = "python"', 'runtime = "python"\ndevice = "cuda"')
    pins = (flowers.path / "requirements.txt").read_text()
    flowers.write("requirements.txt", f"{pins}{TORCH}\n")
    return flowers


@pytest.fixture
def training_image(dagger: Dagger, lab: Lab) -> str:
    """A Python image with a torch of its own, which weighs nothing."""
    address = f"{lab.registry}/cuda/base:test"
    files = {
        f"{SYSTEM}/torch/__init__.py": "CUDA = True\n",
        f"{SYSTEM}/torch-{VERSION}.dist-info/METADATA": METADATA,
    }
    words = ["dagger", "--progress=plain", "core", "container", "from", "--address=python:3.13-slim"]
    for path, content in files.items():
        words += ["with-new-file", f"--path={path}", f"--contents={content}"]
    words += ["publish", f"--address={address}"]
    done = subprocess.run(
        words, env=dagger.variables, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


def test_the_image_stands_on_the_training_image_and_shares_its_torch(
    dagger: Dagger, flowers: Project, training_image: str
) -> None:
    options = [f"--training-image={training_image}"]
    words = ["/opt/venv/bin/python", "-c", "import joblib; import torch; print(torch.__file__)"]
    asked = [f"--args={word}" for word in words]
    answer = dagger.call(flowers.path, "build-image", "with-exec", *asked, "stdout", options=options)
    assert answer.code == 0, answer.errors
    assert answer.out.strip() == f"{SYSTEM}/torch/__init__.py"
    user = dagger.call(flowers.path, "build-image", "user", options=options)
    assert (user.code, user.out.strip()) == (0, "10001")


def test_it_is_judged_on_a_gpu_or_not_at_all(dagger: Dagger, flowers: Project) -> None:
    hint = 'use an engine that has one (see the README), or set serve.device = "cpu"'
    for options, why in ((), "the engine has no GPU"), (("--gpu=off",), "--gpu=off gives it none"):
        answer = dagger.call(flowers.path, "validate-gate", options=options)
        line = f'validate-gate: serve.device = "cuda", but {why}; {hint}'
        assert (answer.code, answer.errors) == (1, [line])
