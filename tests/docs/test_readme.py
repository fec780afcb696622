"""What the README says can be typed: its settings parse, its commands exist, its links lead somewhere."""

import re
from pathlib import Path

from ml_pipeline import config
from tests.command_lines import calls, mistakes

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_settings_to_start_from_are_valid() -> None:
    settings, *_ = blocks("toml")
    project = config.parse(None, settings)
    assert project.name == "wine"
    assert len([line for line in settings.splitlines() if line.strip()]) <= 15


def test_the_other_settings_are_valid_beside_what_must_be_there() -> None:
    _, *others = blocks("toml")
    for settings in others:
        required = '[data]\npath = "x.csv"\ntarget = "y"\n'
        whole = settings.replace("[data]\n", required) if "[data]\n" in settings else required + settings
        config.parse(None, f'name = "x"\ntask = "classification"\n{whole}')


def test_every_call_names_a_function_and_flags_that_exist() -> None:
    commands = [words for block in blocks("console") for words in calls(block)]
    assert len(commands) >= 8
    assert [mistakes(words) for words in commands] == [[]] * len(commands)


def test_every_link_leads_to_a_file() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []
