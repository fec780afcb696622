"""ARCHITECTURE.md is true: rooms, arrows, picture and stages are those of the code."""

import re
from pathlib import Path

import pytest

from ml_pipeline import pipeline
from tests.imports import MODULES, arrows, reduced, room

pytestmark = pytest.mark.documents

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "ml_pipeline"
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading, cell by cell."""
    _, _, section = TEXT.partition(f"## {heading}\n")
    rows = re.findall(r"^\| (`.*) \|$", section.partition("\n## ")[0], re.MULTILINE)
    return [[cell.strip("`") for cell in row.split(" | ")] for row in rows]


ROOMS = [name for name, _ in table("Rooms")]  # a room may import those below it


def upward(between: dict[tuple[str, str], list[str]]) -> list[str]:
    """Return the imports that do not go down the table."""
    return [
        line
        for (high, low), lines in between.items()
        if ROOMS.index(high) >= ROOMS.index(low)
        for line in lines
    ]


def picture(pairs: set[tuple[str, str]]) -> list[str]:
    """Return the lines of the picture, in the order of the table."""
    lines = []
    for high in ROOMS:
        low = [name for name in ROOMS if (high, name) in pairs]
        if low:
            lines.append(f"    {high} --> {' & '.join(low)}")
    return lines


def test_a_file_can_be_read_at_once() -> None:
    files = [path for folder in ("src", "lab", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 200
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: lines for path, lines in lengths.items() if lines > 300} == {}


def test_the_table_names_every_room_once() -> None:
    assert sorted(ROOMS) == sorted({room(module) for module in MODULES})


def test_no_import_goes_up() -> None:
    assert upward(arrows()) == []


def test_an_import_that_goes_up_is_reported() -> None:
    line = "ml_pipeline.data.tables imports ml_pipeline.gate.slices"
    assert upward(
        {("data", "gate"): [line], ("gate", "data"): ["ml_pipeline.gate.a imports ml_pipeline.data.b"]}
    ) == [line]


def test_the_picture_is_the_imports() -> None:
    drawn = re.findall(r"^    \w+ --> .*$", TEXT, re.MULTILINE)
    true = picture(reduced(set(arrows())))
    assert drawn == true, "\n".join(["the picture in ARCHITECTURE.md should be:", *true])


def test_the_stages_are_those_of_the_pipeline() -> None:
    written = [(name, program.strip("-")) for name, program, _ in table("Stages")]
    stages = [(stage.name, stage.program.removeprefix("ml_pipeline.")) for stage in pipeline.STAGES]
    assert written == stages


def test_arrows_that_a_longer_way_implies_are_left_out() -> None:
    assert reduced({("a", "b"), ("b", "c"), ("a", "c")}) == {("a", "b"), ("b", "c")}


def test_the_readme_s_tree_lists_what_is_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = readme.partition("```\nsrc/ml_pipeline/\n")[2].partition("\ntests/")[0]
    listed = {line.split()[0] for line in tree.splitlines()}
    entries = [path for path in PACKAGE.iterdir() if not path.name.startswith("__")]
    assert listed == {f"{path.name}/" if path.is_dir() else path.name for path in entries}
