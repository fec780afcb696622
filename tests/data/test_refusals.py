"""What the data stage refuses: files that can't be read, targets that can't be trained, odd schemas."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.people import Frame, Project, changed, people

pytestmark = pytest.mark.program


def text(name: str, content: str | bytes) -> Callable[[Project], object]:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda project: (project.folder / name).write_bytes(data)


def truncated(project: Project) -> None:
    whole = (project.folder / "people.parquet").read_bytes()
    (project.folder / "cut.parquet").write_bytes(whole[: len(whole) // 2])


def damaged(project: Project) -> None:
    (project.folder / "bad.parquet").write_bytes(b"PAR1" + b"x" * 100 + b"PAR1")


def mixed(project: Project) -> None:
    project.put(people(), "mixed/a.parquet")
    project.put(people() | {"more": [1] * 100}, "mixed/b.parquet")
    project.put(people(), "types/a.parquet")
    project.put(people() | {"age": [None] * 100, "weight": [70] * 100}, "types/b.parquet")
    project.put(people() | {"age": ["old"] * 100}, "types/c.parquet")
    project.put(people(), "formats/a.parquet")
    project.put(people(), "formats/b.csv")
    project.put({"age": [], "answer": []}, "rows.parquet")
    (project.folder / "none").mkdir()


@pytest.mark.parametrize(
    ("make", "path", "message"),
    [
        (mixed, "peple.parquet", "path 'peple.parquet' does not exist (did you mean 'people.parquet'"),
        (mixed, "data/x.csv", "path 'data/x.csv' does not exist (nor does its folder 'data')"),
        (mixed, "*.csv", "no file matches '*.csv'"),
        (mixed, "none", "folder 'none' has no Parquet or CSV file"),
        (mixed, "../people.parquet", "path '../people.parquet' is outside the source"),
        (mixed, "/etc/passwd", "path '/etc/passwd' is outside the source"),
        (mixed, "rows.parquet", "'rows.parquet' has columns but no rows"),
        (mixed, "mixed", "mixed/b.parquet and mixed/a.parquet differ: column 'more'"),
        (mixed, "types", "types/c.parquet and types/a.parquet differ: column 'age' is string and integer"),
        (mixed, "formats", "formats/b.csv is CSV, but formats/a.parquet is Parquet"),
        (text("e.csv", ""), "e.csv", "e.csv is empty (0 bytes)"),
        (text("h.csv", "age,answer\n"), "h.csv", "'h.csv' has columns but no rows"),
        (text("data.txt", "just some words\n"), "data.txt", "data.txt is neither Parquet nor CSV"),
        (text("d.bin", b"\0\1\2"), "d.bin", "d.bin is neither Parquet nor CSV"),
        (text("d.csv", b"a,b\n\xff\xfe,1\n"), "d.csv", "d.csv is not text in UTF-8 (line 2); set encoding"),
        (text("d.parquet", "a,b\n1,2\n"), "d.parquet", "d.parquet is named .parquet but is not Parquet"),
        (text("t.csv", "age,age\n1,2\n"), "t.csv", "t.csv has more than one column 'age'"),
        (text("r.csv", "age,answer\n1,yes,3\n"), "r.csv", "'r.csv' can't be read as CSV: found more fields"),
        (truncated, "cut.parquet", "cut.parquet is a truncated Parquet file"),
        (damaged, "bad.parquet", "'bad.parquet' can't be read as Parquet: "),
    ],
)
def test_data_that_cannot_be_read(
    project: Project, make: Callable[[Project], object], path: str, message: str
) -> None:
    make(project)
    assert project.fails(path=path).startswith(message)


@pytest.mark.parametrize(
    ("changes", "frame", "message"),
    [
        ({"target": "anser"}, people(), "target column 'anser' is not in the data (did you mean 'answer'?)"),
        ({"time": "when"}, people(), "time column 'when' is not in the data"),
        ({"exclude": ["ID"]}, people(), "exclude column 'ID' is not in the data (did you mean 'id'?)"),
        ({"exclude": ["answer"]}, people(), "column 'answer' is the target and excluded"),
        ({"positive": "YES"}, people(), "positive = 'YES' is not a class of 'answer' ('no', 'yes')"),
        ({}, people() | {"answer": ["no"] * 100}, "target 'answer' has one class ('no')"),
        ({}, people() | {"answer": [None] * 100}, "target 'answer' has no values"),
        (
            {"positive": None},
            people() | {"answer": [row / 3 for row in range(100)]},
            "target 'answer' has 100 classes in 100 rows, which looks like regression",
        ),
        (
            {},
            people() | {"answer": ["yes", "no", "maybe", "no"] * 25},
            "positive is for two classes, and target 'answer' has 3",
        ),
        ({"task": "regression"}, people(), "target 'answer' is string, and regression needs a number"),
        (
            {"task": "regression"},
            people() | {"answer": [2.0] * 100},
            "target 'answer' has 1 value: nothing to learn",
        ),
        (
            {"task": "regression"},
            people() | {"answer": [float("inf"), *map(float, range(99))]},
            "column 'answer' has 1 value that is infinite (row 1)",
        ),
        (
            {"task": "regression"},
            people() | {"answer": [None, *map(float, range(99))]},
            "column 'answer' has 1 value missing, and it is the target (row 1)",
        ),
    ],
)
def test_a_target_that_cannot_be_trained(
    project: Project, changes: dict[str, Any], frame: Frame, message: str
) -> None:
    project.put(frame)
    assert message in project.fails(**changes)


def test_what_validate_refuses_is_not_split(project: Project) -> None:
    truncated(project)
    assert "cut.parquet is a truncated Parquet file" in project.fails("split", path="cut.parquet")
    assert "positive = 'YES' is not a class" in project.fails("split", positive="YES")
    assert "target column 'anser' is not in the data" in project.fails("split", target="anser")
    project.put(changed(answer={6: None}))
    assert "'answer' has 1 value missing, and it is the target (row 7)" in project.fails("split")
    assert not list(project.output.glob("*.parquet"))


def test_a_column_that_no_model_takes_must_be_excluded(project: Project) -> None:
    project.put(people() | {"tags": [["a", "b"]] * 100})
    assert "column 'tags' is List(String), which no model takes, and is not excluded" in project.fails()
    project.passes(exclude=["tags"])


@pytest.mark.parametrize(
    ("column", "spec", "message"),
    [
        ("age", {"min": 5, "max": 4}, "column 'age' has min = 5 above max = 4"),
        ("job", {"min": 5}, "column 'job' has min = 5, but is string"),
        ("seen", {"min": "soon"}, "column 'seen' has min = 'soon', but is datetime"),
        ("age", {"allowed": ["x"]}, "column 'age' has allowed values that are not integers"),
        ("age", {"pattern": "x"}, "column 'age' has a pattern, but is integer, not string"),
        ("job", {"pattern": "("}, "column 'job' has a pattern that is not a regular expression ("),
    ],
)
def test_a_schema_that_contradicts_itself(
    project: Project, column: str, spec: dict[str, Any], message: str
) -> None:
    assert message in project.fails(columns={column: spec})
