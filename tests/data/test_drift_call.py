"""Data that moved: the pipeline stops, or warns, with the column's name; a schema to start from."""

import csv
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.calls import ROOT, Dagger, Project, stages

pytestmark = pytest.mark.engine

ADULT = "examples/adult/adult.parquet"

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


@pytest.mark.timeout(600)
def test_the_example_with_one_column_moved_is_stopped_by_name(dagger: Dagger, tmp_path: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.split("\0")[:-1]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    example = Project(tmp_path)
    rows = pl.read_parquet(tmp_path / ADULT)
    rows.write_parquet(tmp_path / "examples/adult/before.parquet")
    rows.with_columns(pl.min_horizontal(pl.col("age") + 5, 90).alias("age")).write_parquet(tmp_path / ADULT)
    moved = f'path = "{ADULT}"\nreference = "examples/adult/before.parquet"\ndrift = {{action = "stop"}}'
    example.replace("pyproject.toml", f'path = "{ADULT}"', moved)
    patient = Dagger(dagger.environment, timeout=550)  # its tests and linters may have to be fetched
    answer = patient.call(tmp_path, "full-pipeline", options=["--gpu=off"])
    assert answer.code == 1
    (line,) = answer.errors
    assert line.startswith("validate-data: column 'age' has drifted: moved by 0.3")
    assert "| ❌ | validate-data |" in answer.log


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
