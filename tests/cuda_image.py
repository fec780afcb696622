"""A training image with a torch of its own, which weighs nothing, and a project to serve on a GPU."""

from ml_pipeline.engine.dependencies import TORCH
from tests.calls import Dagger, Project

SYSTEM = "/usr/lib/python3/dist-packages"
VERSION = TORCH.partition("==")[2]
# It says that it sees a GPU.
TORCH_ITSELF = """
class cuda:
    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 2)
    get_device_name = staticmethod(lambda index: "a name")
"""
METADATA = f"Metadata-Version: 2.1\nName: torch\nVersion: {VERSION}+cu128\n"


def push(dagger: Dagger, registry: str, **programs: str) -> str:
    """Push the image, with further programs of a shell, and return its reference by digest."""
    address = f"{registry}/cuda/base:test"
    files = {
        f"{SYSTEM}/torch/__init__.py": TORCH_ITSELF,
        f"{SYSTEM}/torch-{VERSION}.dist-info/METADATA": METADATA,
    }
    words = ["from", "--address=python:3.13-slim"]
    for path, content in files.items():
        words += ["with-new-file", f"--path={path}", f"--contents={content}"]
    for name, script in programs.items():
        path = f"--path=/usr/local/bin/{name.replace('_', '-')}"
        words += ["with-new-file", path, f"--contents=#!/bin/sh\n{script}\n", "--permissions=493"]
    done = dagger.core(*words, "publish", f"--address={address}")
    assert done.code == 0, done.log
    return done.out.strip()


def wanting(flowers: Project) -> Project:
    """Let a project that brings its own predictor say that it needs torch and a GPU."""
    flowers.replace("ml-pipeline.toml", 'runtime = "python"', 'runtime = "python"\ndevice = "cuda"')
    pins = (flowers.path / "requirements.txt").read_text()
    flowers.write("requirements.txt", f"{pins}{TORCH}\n")
    return flowers
