"""What runs again after which edit: only what reads the thing that changed."""

import dataclasses
import secrets
from pathlib import Path

import pytest

from tests.calls import Answer, Dagger, Project, stages
from tests.module_versions import copied

pytestmark = pytest.mark.engine

# The engine does not tell whether it had these already: they are its own work, no program of ours.
UNTOLD = {"build-image"}
JUDGING = {"prepare-holdout", "predict-candidate", "start-candidate", "validate-gate"}
LEARNING = {"train", "inspect-model"}


def reran(answer: Answer) -> set[str]:
    """Return the stages of a pipeline that passed which were not answered from the cache."""
    assert answer.code == 0, answer.errors
    found = stages(answer.out)
    assert {"lint", "test", "validate-data", "split"} | LEARNING | JUDGING | UNTOLD | {"references"} == set(
        found
    )
    return {stage for stage, took in found.items() if took != "cached"} - UNTOLD


@pytest.mark.timeout(600)
def test_an_edit_reruns_only_what_reads_it(dagger: Dagger, tumours: Project) -> None:
    something = str(secrets.randbelow(10**9))  # that no earlier run had
    reran(dagger.call(tumours.path, "full-pipeline"))

    tumours.write("README.md", f"# {something}\n")  # which nothing reads
    assert reran(dagger.call(tumours.path, "full-pipeline")) == set()

    tests = (tumours.path / "tests" / "test_model.py").read_text()
    tumours.write("tests/test_model.py", f"# {something}\n{tests}")
    assert reran(dagger.call(tumours.path, "full-pipeline")) == {"lint", "test"}

    tumours.replace("ml-pipeline.toml", "min = 0.85", f"min = 0.85{something}")
    assert reran(dagger.call(tumours.path, "full-pipeline")) == {"test", "validate-gate"}

    tumours.replace("ml-pipeline.toml", "learning_rate = 0.5", f"learning_rate = 0.4{something}")
    assert reran(dagger.call(tumours.path, "full-pipeline")) == {"test"} | LEARNING | JUDGING


@pytest.mark.timeout(600)
def test_an_edit_of_the_module_reruns_only_the_programs_that_have_it(
    dagger: Dagger, tumours: Project, tmp_path: Path
) -> None:
    """Its own files are known by their content: neither another clone nor a file beside them matters."""
    reran(dagger.call(tumours.path, "full-pipeline"))
    module = copied(tmp_path / "module")
    edited = dataclasses.replace(dagger, module=module)
    assert reran(edited.call(tumours.path, "full-pipeline")) == set()

    page = module / "src/ml_pipeline/serving/page.html"
    page.write_text(page.read_text().replace("</body>", f"<!-- {secrets.token_hex(8)} --></body>"))
    assert reran(edited.call(tumours.path, "full-pipeline")) == JUDGING - {"prepare-holdout"}
