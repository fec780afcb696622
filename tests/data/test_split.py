"""The data stage's `split`, as a program: which rows are held out, and that it is always the same ones."""

from datetime import datetime

import polars as pl
import pytest

from tests.people import FULL_SCHEMA, Project, changed, people

pytestmark = pytest.mark.program


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
    columns = {"seen": {"type": "datetime"}}
    project.passes("split", holdout="held.csv", columns=columns)
    assert (project.read("train").height, project.read("holdout").height) == (100, 30)
    assert project.passes(holdout="held.csv", columns=columns)
    columns = FULL_SCHEMA | {"age": {"type": "integer", "min": 20}}
    assert project.report()["holdout"]["rows"] == 30
    project.put(people() | {"age": [50] * 100})
    assert project.fails(holdout="held.csv", columns=columns).startswith(
        "holdout: column 'age' has 1 value below"
    )
    assert "path 'hold.csv' does not exist (did you mean 'held.csv'); change holdout" in project.fails(
        holdout="hold.csv"
    )
    less = {name: values for name, values in people(30).items() if name != "job"}
    project.put(less, "held.csv")
    assert "holdout: column 'job' does not exist" in project.fails(holdout="held.csv")
    assert "holdout: column 'job' does not exist" in project.fails("split", holdout="held.csv")
    project.put(people(30) | {"age": ["old"] * 30}, "held.parquet")
    line = "holdout: column 'age' has type string, and integer in the training data; "
    assert project.fails("split", holdout="held.parquet").startswith(line)


def test_whole_numbers_of_a_short_holdout_are_numbers_as_those_of_the_training_data(project: Project) -> None:
    project.put(people() | {"wage": [row + 0.5 for row in range(100)]})
    project.put(people(3) | {"wage": [4, 5, 6], "answer": ["yes", "no", "yes"]}, "held.csv")
    columns = {"seen": {"type": "datetime"}}
    assert project.passes(holdout="held.csv", columns=columns)
    project.passes("split", holdout="held.csv", columns=columns)
    assert project.read("holdout")["wage"].to_list() == [4.0, 5.0, 6.0]


def test_a_holdout_of_fewer_rows_than_classes(project: Project) -> None:
    project.put(people() | {"answer": [f"class {row % 4}" for row in range(100)]})
    project.put(people(3) | {"answer": ["class 0", "class 1", "class 1"]}, "held.csv")
    columns = {"seen": {"type": "datetime"}}
    said = project.fails("split", holdout="held.csv", positive=None, columns=columns)
    assert "the holdout has 3 rows for 4 classes of 'answer'; change holdout" in said


@pytest.mark.parametrize("holdout", [0, 1, -0.5, 2])
def test_a_holdout_that_is_no_share(project: Project, holdout: float) -> None:
    assert f"holdout = {holdout} is not between 0 and 1" in project.fails("split", holdout=holdout)
