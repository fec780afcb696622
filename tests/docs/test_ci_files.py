"""The CI files only start one call; every function, flag and version that they name exists."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command_lines import FUNCTIONS, calls, mistakes

ROOT = Path(__file__).parents[2]
VERSION = json.loads((ROOT / "dagger.json").read_text())["engineVersion"]
FILES = [".github/workflows/pipeline.yml", ".gitlab-ci.yml"]


def strings(node: Any) -> list[str]:
    """Return every string of a YAML document."""
    if isinstance(node, dict):
        return [text for value in node.values() for text in strings(value)]
    if isinstance(node, list):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


@pytest.mark.parametrize("file", FILES)
def test_one_call_whose_function_and_flags_exist(file: str) -> None:
    texts = strings(yaml.safe_load((ROOT / file).read_text()))
    (words,) = [words for text in texts for words in calls(text)]
    assert mistakes(words) == []


@pytest.mark.parametrize("file", FILES)
def test_the_command_line_has_the_modules_version(file: str) -> None:
    text = (ROOT / file).read_text()
    assert VERSION.removeprefix("v") in re.findall(r"\d+\.\d+\.\d+", text)
    assert ":latest" not in text


@pytest.mark.parametrize(
    ("words", "unknown"),
    [
        (["full-pipeline", "--source=."], []),
        (["--gpu=on", "train", "--source=.", "export", "--path=x"], []),
        (["full-pipelin", "--source=."], ["full-pipelin"]),
        (["train", "--sorce=."], ["--sorce=."]),
        (["--gpus=on", "train"], ["--gpus=on"]),
    ],
)
def test_a_wrong_name_is_found(words: list[str], unknown: list[str]) -> None:
    assert mistakes(words) == unknown


def test_the_module_has_the_functions_of_its_contract() -> None:
    assert set(FUNCTIONS) == {
        "lint", "test", "validate-data", "train", "build-image", "validate-gate", "publish",
        "deploy", "rollback", "history", "serve", "report", "full-pipeline",
    }  # fmt: skip
