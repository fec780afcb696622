"""Data that moved: the pipeline stops, or warns, with the column's name; a schema to start from."""

import csv
import tomllib
from collections.abc import Callable

from tests.calls import Dagger, Project, stages

LIMIT = 'target = "diagnosis"'


def move(project: Project, column: str, change: Callable[[float], float]) -> None:
    """Keep the data as it was, and change one column."""
    text = (project.path / "data" / "tumours.csv").read_text()
    project.write("data/before.csv", text)
    rows = list(csv.DictReader(text.splitlines()))
    for row in rows:
        row[column] = f"{change(float(row[column])):.4f}"
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    project.write("data/tumours.csv", "\n".join(lines) + "\n")


def configure(project: Project, action: str) -> None:
    name = "ml-pipeline.toml"
    project.replace(name, LIMIT, f'{LIMIT}\nreference = "data/before.csv"\ndrift = {{action = "{action}"}}')


def test_a_moved_column_stops_the_pipeline_by_name(dagger: Dagger, tumours: Project) -> None:
    move(tumours, "texture", lambda value: value * 1.5)
    configure(tumours, "stop")
    answer = dagger.call(tumours.path, "full-pipeline")
    assert answer.code == 1
    (line,) = answer.errors
    assert line.startswith("validate-data: column 'texture' has drifted: moved by 2.2")
    assert line.endswith('find out why the data moved, or set [tool.ml-pipeline.data.drift] action = "warn"')
    assert "texture" in answer.log


def test_or_the_summary_warns_and_a_gate_may_count_it(dagger: Dagger, tumours: Project) -> None:
    move(tumours, "texture", lambda value: value * 1.5)
    configure(tumours, "warn")
    tumours.replace(
        "ml-pipeline.toml",
        "accuracy = {min",
        'drift_share = {max = 0.2}\n"drift.radius" = {max = 0.1}\naccuracy = {min',
    )
    answer = dagger.call(tumours.path, "full-pipeline")
    assert answer.code == 0, answer.errors
    assert "⚠️ | column 'texture' has drifted" in answer.out
    assert "| ✅ | `drift_share` | 0.0909 |" in answer.out
    assert "`drift.radius` | 0 |" in answer.out
    assert stages(answer.out)["validate-data"]


def test_a_schema_to_paste_says_what_the_data_is_now(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "validate-data", "--schema")
    assert answer.code == 0, answer.errors
    columns = tomllib.loads(answer.out)["data"]["columns"]
    assert columns["diagnosis"] == {
        "type": "string", "allowed": ["benign", "malignant"], "nullable": False
    }  # fmt: skip
    text = (tumours.path / "ml-pipeline.toml").read_text()
    head, _, rest = text.partition("[data.columns]")
    tumours.write("ml-pipeline.toml", head + rest[rest.index("[train]") :] + "\n" + answer.out)
    assert dagger.call(tumours.path, "validate-data").code == 0
