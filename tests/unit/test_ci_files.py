"""The CI files only start one call; every function, flag and version that they name exists."""

import inspect
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_pipeline.main import MlPipeline

ROOT = Path(__file__).parents[2]
VERSION = json.loads((ROOT / "dagger.json").read_text())["engineVersion"]
FILES = [".github/workflows/pipeline.yml", ".gitlab-ci.yml"]


def strings(node: Any) -> list[str]:
    """Return every string of a YAML document, with shell line continuations joined."""
    if isinstance(node, dict):
        return [text for value in node.values() for text in strings(value)]
    if isinstance(node, list):
        return [text for value in node for text in strings(value)]
    return [node.replace("\\\n", " ")] if isinstance(node, str) else []


def calls(file: str) -> list[list[str]]:
    """Return the words of each `dagger call` of a CI file, after those two."""
    texts = strings(yaml.safe_load((ROOT / file).read_text()))
    lines = [line for text in texts for line in text.splitlines()]
    found = [line.partition("dagger call ")[2] for line in lines if "dagger call " in line]
    return [shlex.split(call.partition("|")[0].partition(">")[0]) for call in found]


def kebab(name: str) -> str:
    return name.replace("_", "-")


FUNCTIONS = {
    kebab(name): {kebab(parameter) for parameter in inspect.signature(member).parameters}
    for name, member in inspect.getmembers(MlPipeline, inspect.isfunction)
    if not name.startswith("_")
}
OPTIONS = {kebab(name) for name in inspect.signature(MlPipeline).parameters}


@pytest.mark.parametrize("file", FILES)
def test_one_call_whose_function_and_flags_exist(file: str) -> None:
    (words,) = calls(file)
    function = next(word for word in words if not word.startswith("-"))
    assert function in FUNCTIONS
    position = words.index(function)
    for word in words[:position]:
        assert word.removeprefix("--").partition("=")[0] in OPTIONS
    for word in words[position + 1 :]:
        assert word.removeprefix("--").partition("=")[0] in FUNCTIONS[function], word


@pytest.mark.parametrize("file", FILES)
def test_the_command_line_has_the_modules_version(file: str) -> None:
    text = (ROOT / file).read_text()
    assert VERSION.removeprefix("v") in re.findall(r"\d+\.\d+\.\d+", text)
    assert ":latest" not in text


def test_the_module_names_the_design_s_functions() -> None:
    assert set(FUNCTIONS) == {
        "lint", "test", "validate-data", "train", "build-image", "validate-gate", "publish",
        "deploy", "rollback", "serve", "report", "full-pipeline",
    }  # fmt: skip
