"""A project that is not fit to ship: its code, its tests, its configuration, its data.

Each is told in one line, with the stage, the cause and what to do.
"""

from collections.abc import Callable

import pytest

from tests.calls import Dagger, Project
from tests.conftest import Lab

pytestmark = pytest.mark.engine

FIX_DATA = "fix the data or the schema under [tool.ml-pipeline.data.columns]"
SET_PATH = "set path under [tool.ml-pipeline.data] to a Parquet or CSV file, a folder or a glob in the source"
WRITER = "check what writes the file"
CONFIG, DATA, TESTS = "ml-pipeline.toml", "data/tumours.csv", "tests/test_model.py"
LONELY = "import os\n"
UNFORMATTED = "answer  =  42\n"
FAILING = "\n\ndef test_the_impossible():\n    assert sum([1, 1]) == 3\n"

Spoil = Callable[[Project], None]


def _spoil_all(project: Project) -> None:
    project.write("tumours/lonely.py", LONELY)
    project.write("tests/test_more.py", FAILING.lstrip())
    project.replace(DATA, "17.99,10.38,", "-17.99,10.38,")


def test_lint_tests_and_data_that_fail_together_are_all_named_and_nothing_is_published(
    dagger: Dagger, lab: Lab, tumours: Project
) -> None:
    _spoil_all(tumours)
    answer = dagger.call(tumours.path, "full-pipeline", f"--registry={lab.registry}/unfit", *lab.cluster)
    assert answer.code == 1
    assert answer.errors == [
        "lint: findings: 1 by ruff check; the first: tumours/lonely.py:1: F401 `os` imported but unused; "
        "run `ruff check --fix` and `ruff format`, and fix what remains",
        "test: 1 of 3 tests failed: tests/test_more.py::test_the_impossible (assert 2 == 3); "
        "run pytest in the project and fix them",
        f"validate-data: column 'radius' has 1 value below min = 0 (row 1); {FIX_DATA}",
    ]
    assert answer.out == ""
    assert "❌ tumours: do not ship" in answer.log
    assert lab.tags("unfit/tumours") == []


CODE: dict[str, tuple[str, Spoil, str]] = {
    "unused import": (
        "lint",
        lambda p: p.write("tumours/lonely.py", LONELY),
        "lint: findings: 1 by ruff check; the first: tumours/lonely.py:1: F401 `os` imported but unused; "
        "run `ruff check --fix` and `ruff format`, and fix what remains",
    ),
    "unformatted": (
        "lint",
        lambda p: p.write("tumours/lonely.py", UNFORMATTED),
        "lint: findings: 1 by ruff format; the first: tumours/lonely.py:1: unformatted "
        "File would be reformatted; run `ruff check --fix` and `ruff format`, and fix what remains",
    ),
    "failing test": (
        "test",
        lambda p: p.write(TESTS, FAILING),
        "test: 1 of 1 tests failed: tests/test_model.py::test_the_impossible (assert 2 == 3); "
        "run pytest in the project and fix them",
    ),
    "no tests": (
        "test",  # in a whole run the stage is skipped
        lambda p: p.remove("tests"),
        "test: no tests were found; add test_*.py files under tests/",
    ),
}

CONFIGURATION: dict[str, tuple[Spoil, str]] = {
    "unknown key": (
        lambda p: p.replace(CONFIG, "[train]", "[trian]"),
        "config: ml-pipeline.toml: unknown key 'trian'; did you mean 'train'?",
    ),
    "wrong type": (
        lambda p: p.replace(CONFIG, "min = 0.85", 'min = "high"'),
        'config: ml-pipeline.toml: gates.accuracy.min is "high", a string; write a number',
    ),
    "no target": (
        lambda p: p.replace(CONFIG, 'target = "diagnosis"\n', ""),
        "config: ml-pipeline.toml: data.target is missing; add it",
    ),
    "no config": (
        lambda p: p.remove(CONFIG),
        "config: neither ml-pipeline.toml nor [tool.ml-pipeline] in pyproject.toml was found in the source; "
        "write one (see README.md#your-own-project), or point --source at the project's folder",
    ),
    "two configs": (
        lambda p: p.write("pyproject.toml", '[tool.ml-pipeline]\nname = "tumours"\n'),
        "config: both ml-pipeline.toml and pyproject.toml configure the pipeline; keep one of them",
    ),
}

BAD_DATA: dict[str, tuple[Spoil, str]] = {
    "missing target column": (
        lambda p: p.replace(CONFIG, 'target = "diagnosis"', 'target = "diagnose"'),
        "target column 'diagnose' is not in the data (did you mean 'diagnosis'?); "
        "set target under [tool.ml-pipeline.data]",
    ),
    "missing file": (
        lambda p: p.remove(DATA),
        f"path 'data/tumours.csv' does not exist (nor does its folder 'data'); {SET_PATH}",
    ),
    "empty file": (lambda p: p.write(DATA, ""), f"data/tumours.csv is empty (0 bytes); {WRITER}"),
    "no rows": (
        lambda p: p.write(DATA, "radius,diagnosis\n"),
        f"'data/tumours.csv' has columns but no rows; {WRITER}",
    ),
    "neither Parquet nor CSV": (
        lambda p: p.write(DATA, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        f"data/tumours.csv is neither Parquet nor CSV; {SET_PATH}",
    ),
    "column outside its schema": (
        lambda p: p.replace(DATA, "17.99,10.38,", "-17.99,10.38,"),
        f"column 'radius' has 1 value below min = 0 (row 1); {FIX_DATA}",
    ),
    "column of another type": (
        lambda p: p.replace(DATA, "17.99,10.38,", "wide,10.38,"),
        f"column 'radius' has 1 value that is not a number (row 1); 1 more violation; {FIX_DATA}",
    ),
    "column that is not there": (
        lambda p: p.replace(CONFIG, "radius = {", "radios = {"),
        f"column 'radios' is in the schema but not in the data (did you mean 'radius'?); {FIX_DATA}",
    ),
}


@pytest.mark.parametrize("case", CODE)
def test_code_that_is_not_fit(dagger: Dagger, tumours: Project, case: str) -> None:
    function, spoil, message = CODE[case]
    spoil(tumours)
    answer = dagger.call(tumours.path, function)
    assert (answer.code, answer.errors) == (1, [message])


@pytest.mark.parametrize("case", CONFIGURATION)
def test_configuration_that_is_not_fit(dagger: Dagger, tumours: Project, case: str) -> None:
    spoil, message = CONFIGURATION[case]
    spoil(tumours)
    answer = dagger.call(tumours.path, "full-pipeline")
    assert (answer.code, answer.errors) == (1, [message])


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_is_not_fit(dagger: Dagger, tumours: Project, case: str) -> None:
    spoil, message = BAD_DATA[case]
    spoil(tumours)
    answer = dagger.call(tumours.path, "validate-data")
    assert (answer.code, answer.errors) == (1, [f"validate-data: {message}"])
