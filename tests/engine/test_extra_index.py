"""A package that only an index with a password has, asked for by a project."""

from collections.abc import Iterator

import pytest

from tests import package_index
from tests.calls import Dagger, Project
from tests.package_index import DIGEST, PASSWORD

pytestmark = pytest.mark.engine


@pytest.fixture
def index(dagger: Dagger) -> Iterator[str]:
    """Serve the index while the lab is up."""
    with package_index.serving() as place:
        yield place


@pytest.mark.timeout(600)
def test_a_package_of_an_index_with_a_password(dagger: Dagger, tumours: Project, index: str) -> None:
    requirements = (tumours.path / "requirements.txt").read_text()
    tumours.write("requirements.txt", f"{requirements}hidden-gem==1.0 --hash=sha256:{DIGEST}\n")
    # Who trains sees the package, and not the password.
    tumours.write(
        "tumours/gem.py",
        "import os\n\nimport hidden_gem\n\n"
        "assert hidden_gem.VALUE == 42\nassert not os.environ.get('UV_INDEX')\n",
    )
    command = "python -m tumours.gem && python -m tumours.train"
    tumours.replace("ml-pipeline.toml", "python -m tumours.train", command)
    known = Dagger({**dagger.environment, "INDEX": f"http://me:{PASSWORD}@{index}"})
    wrong = Dagger({**dagger.environment, "INDEX": f"http://me:wrong-word@{index}"})
    refused = wrong.call(tumours.path, "train", options=["--extra-index=env://INDEX"])
    assert refused.code == 1
    assert "401 Unauthorized" in refused.errors[0]
    answer = known.call(tumours.path, "train", "entries", options=["--extra-index=env://INDEX"])
    assert answer.code == 0, answer.errors
    assert "model.onnx" in answer.out
    tumours.replace("requirements.txt", DIGEST, "0" * 64)
    changed = known.call(tumours.path, "train", options=["--extra-index=env://INDEX"])
    line = (
        "train: the project's requirements can't be installed: Hash mismatch for `hidden-gem==1.0` "
        f"Expected: sha256:{'0' * 64} Computed: sha256:{DIGEST}; fix requirements.txt"
    )
    assert (changed.code, changed.errors) == (1, [line])
    for said in (refused, answer, changed):
        assert PASSWORD not in said.log + said.out
        assert "wrong-word" not in said.log + said.out
