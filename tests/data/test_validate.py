"""The data stage's `validate`, as a program: the schema, the report, and what a CSV's text means."""

import json
import tomllib
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from tests.people import FULL_SCHEMA, Project, changed, people

pytestmark = pytest.mark.program


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
    types = {column["name"]: column["type"] for column in report["columns"]}
    assert types == {name: spec["type"] for name, spec in FULL_SCHEMA.items()}
    job = report["columns"][1]
    assert (job["missing"], job["missing_share"], job["distinct"], job["top"]) == (33, 0.33, 2, "clerk")
    age = report["columns"][0]
    assert (age["min"], age["max"], age["distinct"]) == (17, 86, 70)
    outcome = json.loads((project.output / "outcome.json").read_text())
    assert (outcome["status"], outcome["details"]["rows"]) == ("passed", 100)


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
            "'job' has 1 value that is not among its allowed values (row 5)",
        ),
        ({"job": dict.fromkeys(range(40))}, "job", "max_missing", "missing values, above max_missing = 0.35"),
        (
            {"id": {7: "x"}},
            "id",
            "pattern",
            "column 'id' has 1 value that does not match 'p[0-9]{4}' (row 8)",
        ),
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
    violations = {(bad["column"], bad["rule"]): bad["rows"] for bad in project.report()["violations"]}
    assert violations == {
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
        "column 'zip' is in the schema but not in the data "
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


def test_a_schema_to_paste_is_what_the_data_is_now(project: Project) -> None:
    project.put(
        people() | {"seen": [datetime(2024, 1, 1, second=row % 60, microsecond=row) for row in range(100)]}
    )
    project.passes()
    columns = tomllib.loads((project.output / "schema.toml").read_text())["tool"]["ml-pipeline"]["data"][
        "columns"
    ]
    assert columns["age"] == {"type": "integer", "min": 17, "max": 86, "nullable": False}
    assert (columns["seen"]["min"], columns["seen"]["max"]) == (
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:59.000059",
    )
    assert columns["job"] == {"type": "string", "allowed": ["clerk", "smith"], "max_missing": 0.5}
    project.passes(columns=columns)
    for end, later in (("min", datetime(2023, 12, 31)), ("max", datetime(2024, 1, 2))):
        project.put(people() | {"seen": [later] * 100})
        assert f"100 values {'below' if end == 'min' else 'above'} {end} = " in project.fails(columns=columns)


def test_columns_that_the_schema_does_not_name_are_reported_only(project: Project) -> None:
    project.passes(columns={"age": {"type": "integer"}})
    assert project.report()["unnamed"] == ["job", "weight", "id", "seen", "answer"]


@pytest.mark.parametrize(
    ("column", "declared", "message"),
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
    project: Project, column: str, declared: str, message: str
) -> None:
    assert message in project.fails(columns={column: {"type": declared}})
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
    assert "column 'age' has 1 value that is not an integer (row 1)" in project.fails(
        path="p.csv", columns=CSV_COLUMNS
    )
    violations = {
        (bad["column"], bad["rule"], *bad["rows"], *bad["values"]) for bad in project.report()["violations"]
    }
    assert violations == {
        ("age", "type", 1, "old"),
        ("member", "type", 2, "maybe"),
        ("seen", "type", 4, "noon"),
    }
