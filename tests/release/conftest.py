"""A namespace for each test, and toy models in the lab's registry."""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests import toy_images as toy
from tests.clusters import Lab, Target


@pytest.fixture
def target(lab: Lab, tmp_path: Path) -> Iterator[Target]:
    """A namespace that does not exist yet, and the lab's administrator."""
    made = Target(tmp_path, Path(lab.kubeconfig), f"deploy-{uuid.uuid4().hex[:8]}", Path(lab.kubeconfig))
    yield made
    made.kubectl("delete", "namespace", made.namespace, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module")
def images(lab: Lab) -> Mapping[str, str]:
    """Name of a toy model → its reference."""
    kinds = {
        "good-1": ("good", "1"),
        "good-2": ("good", "2"),
        "good-3": ("good", "3"),
        "unready": ("unready", "4"),
        "crash": ("crash", "5"),
        "wrong": ("wrong", "6"),
    }
    references = {name: toy.push(lab.registry, *kind) for name, kind in kinds.items()}
    return references | {"absent": f"{lab.registry}/toy@sha256:{'0' * 64}"}
