"""What the documents say can be typed: settings parse, commands exist, links lead somewhere."""

import re
from pathlib import Path

import pytest

from ml_pipeline.project import config
from tests.command_lines import calls, mistakes

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]

each = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Return the names of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_settings_to_start_from_are_valid() -> None:
    (settings,) = blocks(README, "toml")
    project = config.parse(None, settings)
    assert project.name == "wine"
    assert len([line for line in settings.splitlines() if line.strip()]) <= 15


@each
def test_the_other_settings_are_valid_beside_what_must_be_there(path: Path) -> None:
    for settings in blocks(path, "toml") if path != README else []:
        required = '[data]\npath = "x.csv"\ntarget = "y"\n'
        whole = settings.replace("[data]\n", required) if "[data]\n" in settings else required + settings
        config.parse(None, f'name = "x"\ntask = "classification"\n{whole}')


@each
def test_every_call_names_a_function_and_flags_that_exist(path: Path) -> None:
    commands = [words for block in blocks(path, "console") for words in calls(block)]
    assert [mistakes(words) for words in commands] == [[]] * len(commands)


@each
def test_every_command_runs_a_file_that_is_there(path: Path) -> None:
    commands = "\n".join(blocks(path, "console"))
    files = re.findall(r"(?:tests|benchmarks)/[\w/]+\.py", commands)
    assert [file for file in files if not (ROOT / file).exists()] == []


@each
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if "://" not in link:
            file, _, heading = link.partition("#")
            target = path.parent / file if file else path
            assert target.exists(), link
            assert not heading or heading in anchors(target), link


def test_the_readme_leads_to_every_document() -> None:
    linked = re.findall(r"\]\((docs/\w+\.md)", README.read_text())
    assert {ROOT / link for link in linked} == set(DOCUMENTS) - {README}
