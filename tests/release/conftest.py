"""A namespace for each test, and toy models in the lab's registry."""

from collections.abc import Mapping

import pytest

from tests import toy_images as toy
from tests.clusters import Lab


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
        "errors": ("errors", "7"),  # of every fifth request
    }
    references = {name: toy.push(lab.registry, *kind) for name, kind in kinds.items()}
    return references | {"absent": f"{lab.registry}/toy@sha256:{'0' * 64}"}
