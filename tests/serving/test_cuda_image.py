"""The image that serves on a GPU, on a machine without one: what it is built on, and what it needs.

A file with torch's name stands in for the training image's torch. What a real GPU does is not shown here.
"""

from collections.abc import Callable

import pytest

from tests import cuda_image
from tests.calls import Dagger, Project
from tests.conftest import Lab
from tests.cuda_image import SYSTEM

pytestmark = pytest.mark.engine


@pytest.fixture
def flowers(copy_of: Callable[[str], Project]) -> Project:
    return cuda_image.wanting(copy_of("flowers"))


def test_the_image_stands_on_the_training_image_and_shares_its_torch(
    dagger: Dagger, lab: Lab, flowers: Project
) -> None:
    options = [f"--training-image={cuda_image.push(dagger, lab.registry)}"]
    words = ["/opt/venv/bin/python", "-c", "import joblib; import torch; print(torch.__file__)"]
    asked = [f"--args={word}" for word in words]
    answer = dagger.call(flowers.path, "build-image", "with-exec", *asked, "stdout", options=options)
    assert answer.code == 0, answer.errors
    assert answer.out.strip() == f"{SYSTEM}/torch/__init__.py"
    user = dagger.call(flowers.path, "build-image", "user", options=options)
    assert (user.code, user.out.strip()) == (0, "10001")


def test_it_is_judged_on_a_gpu_or_not_at_all(dagger: Dagger, flowers: Project) -> None:
    hint = 'use an engine that has one (see docs/training.md#gpu), or set serve.device = "cpu"'
    for options, why in ((), "the engine has no GPU"), (("--gpu=off",), "--gpu=off gives it none"):
        answer = dagger.call(flowers.path, "validate-gate", options=options)
        line = f'validate-gate: serve.device = "cuda", but {why}; {hint}'
        assert (answer.code, answer.errors) == (1, [line])
