"""The data stage, as a program, on files made for it."""

import json
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.stages.programs import run

Frame = dict[str, list[Any]]


def people(rows: int = 100) -> Frame:
    """A clean table: every fifth person says yes."""
    return {
        "age": [17 + (11 * row) % 70 for row in range(rows)],
        "job": [("clerk", "smith", None)[row % 3] for row in range(rows)],
        "weight": [50 + row / 2 for row in range(rows)],
        "id": [f"p{row:04}" for row in range(rows)],
        "seen": [datetime(2024, 1, 1 + row % 28, row % 24) for row in range(rows)],
        "answer": ["yes" if row % 5 == 0 else "no" for row in range(rows)],
    }


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "path": "people.parquet",
        "target": "answer",
        "positive": "yes",
        "holdout": 0.2,
        "time": None,
        "exclude": [],
        "task": "classification",
        "seed": 0,
        "columns": {},
    } | changes


class Project:
    """A project's folder, and the stage run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.output = folder / "output"
        self.folder.mkdir()

    def put(self, frame: Frame, name: str = "people.parquet") -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pl.DataFrame(frame, strict=False)
        if path.suffix == ".parquet":
            table.write_parquet(path)
        else:
            table.write_csv(path)

    def run(self, command: str, **changes: Any) -> subprocess.CompletedProcess[str]:
        config = self.output.parent / "settings.json"
        config.write_text(json.dumps(settings(**changes)))
        arguments = ["--config", config, "--data", self.folder, "--output", self.output]
        return run("data", command, *arguments, ML_OUTCOME=str(self.output / "outcome.json"))

    def passes(self, command: str = "validate", **changes: Any) -> str:
        done = self.run(command, **changes)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def fails(self, command: str = "validate", **changes: Any) -> str:
        """The one line that says why."""
        done = self.run(command, **changes)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("data: ")
        return done.stderr.strip()

    def report(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.output / "report.json").read_text())
        return document

    def rules(self) -> set[tuple[str, str]]:
        return {(bad["column"], bad["rule"]) for bad in self.report()["violations"]}

    def read(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.output / f"{name}.parquet")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.put(people())
    return made


FULL_SCHEMA: dict[str, dict[str, Any]] = {
    "age": {"type": "integer", "min": 17, "max": 90, "nullable": False},
    "job": {"type": "string", "allowed": ["clerk", "smith"], "max_missing": 0.35},
    "weight": {"type": "number", "min": 50},
    "id": {"type": "string", "pattern": "p[0-9]{4}", "unique": True},
    "seen": {"type": "datetime", "min": "2024-01-01", "max": "2024-12-31T23:59:59Z"},
    "answer": {"type": "string"},
}


@pytest.mark.parametrize("name", ["people.parquet", "people.csv"])
def test_clean_data_passes_with_a_report(project: Project, name: str) -> None:
    project.put(people(), name)
    said = project.passes(path=name, columns=FULL_SCHEMA)
    assert "100 rows, 6 columns, 0 violations" in said
    assert "34.0%" not in said
    assert "33.0% missing" in said
    report = project.report()
    assert report["rows"] == 100
    assert report["violations"] == []
    assert report["unnamed"] == []
    assert report["target"]["classes"] == {"no": 80, "yes": 20}
    assert len(report["sha256"]) == 64
    kinds = {column["name"]: column["type"] for column in report["columns"]}
    assert kinds == {name: spec["type"] for name, spec in FULL_SCHEMA.items()}
    job = report["columns"][1]
    assert (job["missing"], job["missing_share"], job["distinct"], job["top"]) == (33, 0.33, 2, "clerk")
    age = report["columns"][0]
    assert (age["min"], age["max"], age["distinct"]) == (17, 86, 70)
    outcome = json.loads((project.output / "outcome.json").read_text())
    assert (outcome["status"], outcome["details"]["rows"]) == ("passed", 100)


def changed(**columns: dict[int, Any]) -> Frame:
    """People with some cells replaced, by column and row from 0."""
    frame = people()
    for name, cells in columns.items():
        for row, value in cells.items():
            frame[name][row] = value
    return frame


@pytest.mark.parametrize(
    ("cells", "column", "rule", "message"),
    [
        (
            {"age": {3: 5, 8: 6, 11: 1}},
            "age",
            "min",
            "column 'age' has 3 values below min = 17 (rows 4, 9, 12)",
        ),
        ({"age": {0: 91}}, "age", "max", "column 'age' has 1 value above max = 90 (row 1)"),
        (
            {"age": {2: None}},
            "age",
            "nullable",
            "column 'age' has 1 value missing, which nullable = false forbids",
        ),
        (
            {"job": {4: "baker"}},
            "job",
            "allowed",
            "'job' has 1 value that are not among its allowed values (row 5)",
        ),
        ({"job": dict.fromkeys(range(40))}, "job", "max_missing", "missing values, above max_missing = 0.35"),
        ({"id": {7: "x"}}, "id", "pattern", "column 'id' has 1 value that do not match 'p[0-9]{4}' (row 8)"),
        ({"id": {7: "p00012"}}, "id", "pattern", "(row 8)"),
        ({"id": {9: "p0001"}}, "id", "unique", "column 'id' has 1 value that an earlier row has (row 10)"),
        (
            {"seen": {1: datetime(2023, 12, 31)}},
            "seen",
            "min",
            "'seen' has 1 value below min = 2024-01-01 (row 2)",
        ),
        ({"seen": {1: datetime(2025, 1, 1)}}, "seen", "max", "(row 2)"),
        ({"weight": {1: float("nan"), 2: -1.0}}, "weight", "min", "(row 3)"),
        (
            {"answer": {6: None}},
            "answer",
            "target_missing",
            "'answer' has 1 value missing, and it is the target",
        ),
    ],
)
def test_each_rule_finds_what_breaks_it_and_nothing_else(
    project: Project, cells: dict[str, dict[int, Any]], column: str, rule: str, message: str
) -> None:
    project.put(changed(**cells))
    assert message in project.fails(columns=FULL_SCHEMA)
    assert project.rules() == {(column, rule)}


def test_a_csv_breaks_the_same_rules(project: Project) -> None:
    frame = changed(
        age={3: 5, 4: 91, 5: None},
        job={4: "baker"},
        id={7: "x", 9: "p0001"},
        seen={1: datetime(2023, 12, 31), 2: datetime(2025, 1, 1)},
        weight={1: float("nan"), 2: -1.0},
        answer={6: None},
    )
    project.put(frame, "people.csv")
    line = project.fails(path="people.csv", columns=FULL_SCHEMA)
    assert "1 value missing, and it is the target (row 7); 9 more violations" in line
    found = {(bad["column"], bad["rule"]): bad["rows"] for bad in project.report()["violations"]}
    assert found == {
        ("answer", "target_missing"): [7],
        ("age", "min"): [4],
        ("age", "max"): [5],
        ("age", "nullable"): [6],
        ("job", "allowed"): [5],
        ("id", "pattern"): [8],
        ("id", "unique"): [10],
        ("seen", "min"): [2],
        ("seen", "max"): [3],
        ("weight", "min"): [3],
    }


def test_all_violations_are_reported_and_the_first_is_named(project: Project) -> None:
    project.put(changed(age={3: 5, 8: 6, 11: 1, 12: None}, id={7: "x"}))
    columns = FULL_SCHEMA | {"zip": {"type": "string"}}
    assert project.fails(columns=columns) == (
        "data: column 'zip' is in the schema but not in the data "
        "(there are: age, job, weight, id, seen, answer); 3 more violations; "
        "fix the data or the schema under [tool.ml-pipeline.data.columns]"
    )
    assert project.rules() == {
        ("zip", "missing_column"),
        ("age", "min"),
        ("age", "nullable"),
        ("id", "pattern"),
    }
    low = next(bad for bad in project.report()["violations"] if bad["rule"] == "min")
    assert (low["count"], low["rows"], low["values"]) == (3, [4, 9, 12], [5, 6, 1])
    assert low["share"] == pytest.approx(3 / 99)  # missing values are not in the denominator
    outcome = json.loads((project.output / "outcome.json").read_text())
    assert outcome["status"] == "failed"
    assert len(outcome["details"]["violations"]) == 4


def test_no_more_than_five_rows_are_shown(project: Project) -> None:
    line = project.fails(columns={"age": {"min": 1000}})
    assert "has 100 values below min = 1000 (rows 1, 2, 3, 4, 5, …); fix" in line


def test_columns_that_the_schema_does_not_name_are_reported_only(project: Project) -> None:
    project.passes(columns={"age": {"type": "integer"}})
    assert project.report()["unnamed"] == ["job", "weight", "id", "seen", "answer"]


@pytest.mark.parametrize(
    ("column", "wanted", "message"),
    [
        ("job", "integer", "column 'job' has type string, the schema says integer"),
        ("age", "string", "column 'age' has type integer, the schema says string"),
        (
            "weight",
            "integer",
            "column 'weight' has 50 values that are not an integer (rows 2, 4, 6, 8, 10, …)",
        ),
        ("seen", "number", "column 'seen' has type datetime, the schema says number"),
    ],
)
def test_a_parquet_type_that_is_not_the_schemas(
    project: Project, column: str, wanted: str, message: str
) -> None:
    assert message in project.fails(columns={column: {"type": wanted}})
    assert project.rules() == {(column, "type")}


def test_whole_floats_are_integers_and_integers_numbers(project: Project) -> None:
    project.put(people() | {"age": [float(value) for value in people()["age"][:-1]] + [None]})
    project.passes("split", columns={"age": {"type": "integer"}})
    assert project.read("train").schema["age"] == pl.Int64
    project.put(people())
    project.passes("split", columns={"age": {"type": "number"}})
    assert project.read("train").schema["age"] == pl.Float64


CSV = """zip,age,member,seen,note,answer
01234,37,true,2024-01-01,?,yes
00001,38.0,FALSE,2024-01-01T10:00:00+02:00,"",no
,,,,,yes
99999, 40 ,1,2024-01-01 08:00,x,no
"""
CSV_COLUMNS = {
    "zip": {"type": "string"},
    "age": {"type": "integer"},
    "member": {"type": "boolean"},
    "seen": {"type": "datetime"},
}


def test_a_csv_is_parsed_as_the_schema_says(project: Project) -> None:
    (project.folder / "p.csv").write_text(CSV)
    (project.folder / "held.csv").write_text(CSV)
    project.passes("split", path="p.csv", holdout="held.csv", columns=CSV_COLUMNS)
    table = project.read("train").to_dict(as_series=False)
    assert table["zip"] == ["01234", "00001", None, "99999"]
    assert table["age"] == [37, 38, None, 40]
    assert table["member"] == [True, False, None, True]
    assert table["seen"] == [datetime(2024, 1, 1), datetime(2024, 1, 1, 8), None, datetime(2024, 1, 1, 8)]
    assert table["note"] == ["?", None, None, "x"]  # the empty text is a missing value, "?" is not


def test_a_csv_cell_that_is_no_such_thing_is_named(project: Project) -> None:
    bad = CSV.replace("37", "old").replace("FALSE", "maybe").replace("2024-01-01 08:00", "noon")
    (project.folder / "p.csv").write_text(bad)
    assert "column 'age' has 1 value that are not an integer (row 1)" in project.fails(
        path="p.csv", columns=CSV_COLUMNS
    )
    found = {
        (bad["column"], bad["rule"], *bad["rows"], *bad["values"]) for bad in project.report()["violations"]
    }
    assert found == {
        ("age", "type", 1, "old"),
        ("member", "type", 2, "maybe"),
        ("seen", "type", 4, "noon"),
    }


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
    project.put(people(), "kinds/a.parquet")
    project.put(people(), "kinds/b.csv")
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
        (mixed, "kinds", "kinds/b.csv is CSV, but kinds/a.parquet is Parquet"),
        (text("e.csv", ""), "e.csv", "e.csv is empty (0 bytes)"),
        (text("h.csv", "age,answer\n"), "h.csv", "'h.csv' has columns but no rows"),
        (text("data.txt", "just some words\n"), "data.txt", "data.txt is neither Parquet nor CSV"),
        (text("d.bin", b"\0\1\2"), "d.bin", "d.bin is neither Parquet nor CSV"),
        (text("d.csv", b"a,b\n\xff\xfe,1\n"), "d.csv", "d.csv is named .csv but is not CSV"),
        (text("d.parquet", "a,b\n1,2\n"), "d.parquet", "d.parquet is named .parquet but is not Parquet"),
        (text("s.csv", "age;answer\n1;yes\n"), "s.csv", "s.csv is separated by semicolons"),
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
    assert project.fails(path=path).startswith(f"data: {message}")


def test_a_folder_and_a_glob_are_one_table(project: Project) -> None:
    whole = people()
    for part in range(4):
        piece = {name: values[part * 25 : part * 25 + 25] for name, values in whole.items()}
        project.put(piece, f"parts/{part}.parquet")
    (project.folder / "parts" / "_SUCCESS").write_text("")
    for path in ("parts", "parts/*.parquet"):
        project.passes("split", path=path)
        both = pl.concat([project.read("train"), project.read("holdout")])
        assert both.sort("id").to_dict(as_series=False) == whole
    project.passes(path="parts")
    assert project.report()["files"] == [f"parts/{part}.parquet" for part in range(4)]


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
            "column 'answer' has 1 value that are infinite (row 1)",
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
        ("job", {"pattern": "("}, "column 'job' has a pattern that is no regular expression ("),
    ],
)
def test_a_schema_that_contradicts_itself(
    project: Project, column: str, spec: dict[str, Any], message: str
) -> None:
    assert message in project.fails(columns={column: spec})


def test_split_is_stratified_seeded_and_the_same_to_the_byte(project: Project) -> None:
    said = project.passes("split", exclude=["id"])
    assert said == "80 rows to train on, 20 held out\n"
    first = {name: (project.output / name).read_bytes() for name in ("train.parquet", "holdout.parquet")}
    train, holdout = project.read("train"), project.read("holdout")
    assert holdout["answer"].value_counts(sort=True).rows() == [("no", 16), ("yes", 4)]
    assert "id" not in train.columns
    assert holdout.columns == list(people())  # slices may need what the model must not see
    whole = pl.DataFrame(people())
    kept = whole.filter(~pl.col("id").is_in(holdout["id"].implode()))
    assert train.equals(kept.drop("id"))  # every other row, in its order
    project.passes("split", exclude=["id"])
    assert {name: (project.output / name).read_bytes() for name in first} == first
    project.passes("split", exclude=["id"], seed=1)
    assert project.read("holdout")["id"].to_list() != holdout["id"].to_list()


def test_a_seed_means_these_rows_on_every_machine(project: Project) -> None:
    project.put(people(10) | {"answer": ["yes", "no"] * 5})
    project.passes("split", seed=7)
    assert project.read("holdout")["id"].to_list() == ["p0003", "p0008"]


def test_small_classes_are_on_both_sides(project: Project) -> None:
    project.put(people() | {"answer": ["rare", "rare", "once"] + ["no"] * 97})
    project.passes("split", positive=None)
    assert project.read("train")["answer"].to_list().count("rare") == 1
    assert project.read("holdout")["answer"].to_list().count("rare") == 1
    assert project.read("train")["answer"].to_list().count("once") == 1


def test_time_holds_out_the_last_rows(project: Project) -> None:
    project.passes("split", time="seen", holdout=0.25)
    train, holdout = project.read("train"), project.read("holdout")
    assert (train.height, holdout.height) == (75, 25)
    assert train["seen"].max() <= holdout["seen"].min()
    project.put(changed(seen={3: None}))
    assert "1 row lack 'seen', which orders the rows" in project.fails("split", time="seen")
    project.put(people() | {"answer": ["yes", "no"] * 40 + ["no"] * 20, "seen": list(range(100))})
    assert "the holdout rows have one class of 'answer' ('no')" in project.fails("split", time="seen")


def test_time_in_a_csv_is_parsed_before_it_orders(project: Project) -> None:
    stamps = ["2024-01-10", "2024-01-09T00:00:00+02:00", "2024-01-11"] + ["2024-01-01"] * 7
    project.put({"seen": stamps, "answer": ["yes", "no", "no"] + ["yes", "no"] * 3 + ["no"]}, "t.csv")
    project.passes("split", path="t.csv", time="seen")
    assert project.read("holdout")["seen"].to_list() == [datetime(2024, 1, 10), datetime(2024, 1, 11)]
    project.put({"seen": [9, 10, 8, 1, 1, 1, 1, 1, 1, 1], "answer": ["yes", "no"] * 5}, "t.csv")
    project.passes("split", path="t.csv", time="seen")
    assert project.read("holdout")["seen"].to_list() == [9.0, 10.0]


def test_regression_is_split_without_strata(project: Project) -> None:
    project.put(people() | {"answer": [row / 7 for row in range(100)]})
    project.passes(task="regression", positive=None)
    assert project.report()["target"] == {"name": "answer", "type": "number", "task": "regression"}
    project.passes("split", task="regression", positive=None)
    assert (project.read("train").height, project.read("holdout").height) == (80, 20)


def test_the_holdout_may_be_a_file(project: Project) -> None:
    project.put(people(30), "held.csv")
    project.passes("split", holdout="held.csv")
    assert (project.read("train").height, project.read("holdout").height) == (100, 30)
    columns = FULL_SCHEMA | {"age": {"type": "integer", "min": 20}}
    assert project.passes(holdout="held.csv", columns={"seen": {"type": "datetime"}})
    assert project.report()["holdout"]["rows"] == 30
    project.put(people() | {"age": [50] * 100})
    assert project.fails(holdout="held.csv", columns=columns).startswith(
        "data: holdout: column 'age' has 1 value below"
    )
    assert "path 'hold.csv' does not exist (did you mean 'held.csv'); change holdout" in project.fails(
        holdout="hold.csv"
    )
    less = {name: values for name, values in people(30).items() if name != "job"}
    project.put(less, "held.csv")
    assert "holdout: column 'job' is not there" in project.fails(holdout="held.csv")
    assert "the holdout lacks column 'job'" in project.fails("split", holdout="held.csv")


@pytest.mark.parametrize("holdout", [0, 1, -0.5, 2])
def test_a_holdout_that_is_no_share(project: Project, holdout: float) -> None:
    assert f"holdout = {holdout} is not between 0 and 1" in project.fails("split", holdout=holdout)
