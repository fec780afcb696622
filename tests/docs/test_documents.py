"""What the documents say can be typed: settings parse, commands exist, links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest

from ml_pipeline.project import config
from tests.command_lines import calls, mistakes
from tests.documents import OTHERS, README, ROOT, anchors, blocks, targets

pytestmark = pytest.mark.documents

DOCUMENTS = [README, *OTHERS]
COMMANDS = {"apt-get", "curl", "dagger", "eval", "make", "python3"}  # beside those of a virtual environment

each = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def commands(path: Path) -> list[list[str]]:
    """Return the words of each command in a document's console blocks, those of a chain one by one."""
    text = "\n".join(blocks(path, "console")).replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    return [shlex.split(part, comments=True) for line in lines for part in line.rstrip("& ").split(" && ")]


def faults(words: list[str]) -> list[str]:
    """Return the words of a command that do not exist: a program, a file, an option, a target of make."""
    program, *rest = [word for word in words if not re.match(r"[A-Z]+=", word)]
    if program.startswith("."):
        environment = program.partition("/")[0]
        exists = environment in {".venv", ".venv-benchmarks"} and program.endswith("/bin/python")
    else:
        exists = program in COMMANDS
    lost = [] if exists else [program]
    if program == "make":
        return lost + [word for word in rest if word not in targets()]
    files = [word for word in rest if re.match(r"(?:tests|benchmarks|src|lab|examples)/", word)]
    lost += [word for word in files if not (ROOT / word).exists()]
    scripts = [ROOT / word for word in files if word.startswith("benchmarks/") and (ROOT / word).exists()]
    scripts += [ROOT / "lab/__main__.py"] if rest[:2] == ["-m", "lab"] else []
    for script in scripts:
        source = script.read_text(encoding="utf-8")
        options = [word.partition("=")[0] for word in rest if word.startswith("--")]
        lost += [option for option in options if f'"{option}"' not in source]
    return lost


def test_the_settings_to_start_from_are_valid() -> None:
    (settings,) = blocks(README, "toml")
    project = config.parse(None, settings)
    assert project.name == "wine"
    assert len([line for line in settings.splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_other_settings_are_valid_beside_the_required_keys(path: Path) -> None:
    for settings in blocks(path, "toml"):
        required = '[data]\npath = "x.csv"\ntarget = "y"\n'
        whole = settings.replace("[data]\n", required) if "[data]\n" in settings else required + settings
        config.parse(None, f'name = "x"\ntask = "classification"\n{whole}')


@each
def test_every_call_names_a_function_and_flags_that_exist(path: Path) -> None:
    called = [words for block in blocks(path, "console") for words in calls(block)]
    assert [mistakes(words) for words in called] == [[]] * len(called)


@each
def test_every_command_can_be_typed(path: Path) -> None:
    assert [fault for words in commands(path) for fault in faults(words)] == []


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("make chekc", "chekc"),
        ("pytohn3 -m lab up", "pytohn3"),
        ("python3 -m lab up --clutser", "--clutser"),
        (".venv/bin/python -m pytest tests/data/test_nowhere.py", "tests/data/test_nowhere.py"),
        (".venv-benchmarks/bin/python benchmarks/data.py --qiuck", "--qiuck"),
    ],
)
def test_a_command_that_cannot_be_typed_is_found(command: str, fault: str) -> None:
    assert faults(shlex.split(command)) == [fault]


@each
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in link:
            file, _, heading = link.partition("#")
            target = path.parent / file if file else path
            assert target.exists(), link
            assert not heading or heading in anchors(target), link


def test_the_readme_leads_to_every_document() -> None:
    linked = re.findall(r"\]\(([\w/]+\.md)", README.read_text(encoding="utf-8"))
    assert {ROOT / link for link in linked} == set(OTHERS)
