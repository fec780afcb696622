"""What gives the answers away, and keys that repeat: through the stage's own command line."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.people import Frame, Project, people

pytestmark = pytest.mark.program

STOP = {"score": 0.95, "shared": 0.05, "action": "stop"}


def varied(rows: int) -> Frame:
    """People whose age tells nothing."""
    draw = random.Random(0)  # noqa: S311 - no secret is drawn
    return people(rows) | {"age": [draw.randrange(17, 90) for _ in range(rows)]}


def later(rows: int, start: datetime) -> dict[str, Any]:
    frame = varied(rows)
    return frame | {"seen": [start + timedelta(hours=row) for row in range(rows)]}


def test_a_column_that_is_the_target_stops_the_run_where_that_is_asked_for(project: Project) -> None:
    frame = varied(1000)
    project.put(frame | {"code": [1.0 if answer == "yes" else 0.0 for answer in frame["answer"]]})
    printed = project.passes()
    assert "- column 'code' alone predicts 100.0% of target 'answer': is it available in time?" in printed
    line = project.fails(leakage=STOP)
    assert line.startswith("column 'code' alone predicts 100.0% of target 'answer'")
    assert line.endswith(
        'remove the leak (add its column to exclude), or set [tool.ml-pipeline.data.leakage] action = "warn"'
    )
    assert "alone predicts" not in project.passes(leakage=STOP, exclude=["code"])


def test_a_number_that_follows_the_target_is_found_in_regression(project: Project) -> None:
    frame = varied(1000)
    project.put(
        frame | {"pounds": [2.2 * kilos + 0.01 * (row % 3) for row, kilos in enumerate(frame["weight"])]}
    )
    printed = project.passes(task="regression", target="weight", positive=None)
    assert "column 'pounds' alone predicts" in printed
    assert "column 'age' alone" not in printed
    assert "column 'id' alone" not in printed, "a key tells nothing of other rows"


def test_few_rows_say_nothing(project: Project) -> None:
    frame = people(60)
    project.put(frame | {"code": frame["answer"]})
    assert "alone predicts" not in project.passes(leakage=STOP)


def test_rows_of_the_holdout_that_are_training_rows(project: Project) -> None:
    frame = varied(1000)
    project.put(frame)
    project.put({name: values[:100] for name, values in frame.items()}, "holdout.parquet")
    printed = project.passes(holdout="holdout.parquet")
    assert "- 100 of 100 holdout rows are in the training data too" in printed
    line = project.fails(holdout="holdout.parquet", leakage=STOP)
    assert line.startswith("100 of 100 holdout rows are in the training data too; ")


@pytest.mark.parametrize(("days", "leaks"), [(-3, True), (60, False)])
def test_a_holdout_is_after_the_training_data_where_time_orders_them(
    project: Project, days: int, leaks: bool
) -> None:
    start = datetime(2024, 1, 1)
    project.put(later(1000, start))
    project.put(later(100, start + timedelta(days=days)), "holdout.parquet")
    changes = {"holdout": "holdout.parquet", "time": "seen", "leakage": STOP | {"shared": 1}}
    if leaks:
        line = project.fails(**changes)
        assert line.startswith("the holdout begins at 'seen' = 2023-12-29 00:00:00, before the training ")
    else:
        project.passes(**changes)


def test_a_key_that_repeats_stops_the_run(project: Project) -> None:
    frame = people()
    frame["age"][7], frame["job"][7] = frame["age"][3], frame["job"][3]
    project.put(frame)
    assert "violations" in project.passes(key=["age", "job", "id"])
    frame["id"][7] = frame["id"][3]
    project.put(frame)
    line = project.fails(key=["age", "job", "id"])
    assert line.startswith("column 'age' has 1 value whose key age, job, id an earlier row has (row 8); ")
    assert project.fails(key=["agee"]).startswith("data.key names 'agee', which is not in the data; ")


def test_a_reference_must_have_the_columns(project: Project) -> None:
    frame = people()
    project.put(frame)
    project.put({name: values for name, values in frame.items() if name != "age"}, "before.parquet")
    line = project.fails(reference="before.parquet")
    assert line.startswith("the reference does not have column 'age'; set reference under ")
    project.put(frame | {"age": ["old"] * 100}, "before.parquet")
    assert "column 'age' is integer, but string in the reference" in project.fails(reference="before.parquet")
    assert "path 'nothing.csv' does not exist" in project.fails(reference="nothing.csv")
