"""A folder with one CSV and the README's configuration: a whole run, without tests and without code."""

import re
from pathlib import Path

import pytest

from tests.calls import PROJECTS, ROOT, Dagger, Project, stages

pytestmark = pytest.mark.engine


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """What a reader has who follows the README."""
    (block,) = re.findall(r"```toml\n(name = \"wine\".*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    made = Project(tmp_path / "project")
    # The machine of the tests may be busy.
    made.write(
        "ml-pipeline.toml", block.replace("latency_p95_ms = {max = 50}", "latency_p95_ms = {max = 5000}")
    )
    made.write("data/wine.csv", (PROJECTS / "wine" / "data" / "wine.csv").read_bytes())
    return made


def test_the_readmes_lines_end_in_a_served_model(dagger: Dagger, project: Project) -> None:
    answer = dagger.call(project.path, "full-pipeline")
    assert answer.code == 0, answer.errors
    assert "| ⏭️ | test |" in answer.out
    assert "no tests were found" in answer.out
    assert stages(answer.out)["validate-gate"]  # it has asked the running image
    project.replace("ml-pipeline.toml", "[data]\n", "[tests]\nrequired = true\n\n[data]\n")
    assert dagger.call(project.path, "full-pipeline").errors[0].startswith("test: no tests were found")
