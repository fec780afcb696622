"""Inputs compared with the record of the training rows, over real HTTP, against the pipeline's own index."""

import json
import math
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_pipeline.data.recording import record_of
from ml_pipeline.distributions import effects, record
from ml_pipeline.model import loaded as model
from ml_pipeline.model.loaded import Rows
from ml_pipeline.model.values import from_rows
from ml_pipeline.serving.monitor import Monitor, monitor, read_record
from tests.programs import CLASSES, Server, Start

pytestmark = pytest.mark.program

TYPES = {"age": "integer", "job": "string", "member": "boolean", "seen": "datetime"}
JOBS = ["clerk", "smith", "baker", None]


def people(rows: int, seed: int, older: int = 0, jobs: Any = (0.5, 0.2, 0.2, 0.1)) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    began = datetime(2024, 1, 1)
    return pl.DataFrame(
        {
            "age": random.integers(18, 80, rows) + older,
            "job": [JOBS[at] for at in random.choice(4, rows, p=jobs)],
            "member": [[True, False, None][at] for at in random.choice(3, rows, p=[0.6, 0.3, 0.1])],
            "seen": [
                began + timedelta(hours=int(h)) if h % 5 else None for h in random.integers(0, 9000, rows)
            ],
        }
    )


@pytest.fixture(scope="module")
def training() -> pl.DataFrame:
    return people(4000, 0)


@pytest.fixture
def folder(training: pl.DataFrame, onnx_folder: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "model"
    shutil.copytree(onnx_folder, copy)
    record.write(record_of(training.lazy(), TYPES), copy / "record.json")
    return copy


def watch(folder: Path, *names: str) -> Monitor:
    described = read_record(folder)
    assert described is not None
    return monitor(described, names, CLASSES)


def with_predictions(path: Path, predictions: record.Column) -> None:
    record.write(replace(record.read(path), predictions=predictions), path)


def instances(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        row | {"seen": row["seen"] and row["seen"].replace(tzinfo=UTC).isoformat()}
        for row in frame.iter_rows(named=True)
    ]


def figures(server: Server) -> dict[str, float]:
    counted = server.figures()
    return {name: value for name, value in counted.items() if name.startswith(("ml_input", "ml_prediction_"))}


def test_inputs_like_the_training_rows_and_others(start: Start, folder: Path, training: pl.DataFrame) -> None:
    served = start(folder)
    rows = instances(people(2000, 1))
    served.predict(*rows[:199])
    early = figures(served)
    assert early["ml_input_rows"] == 199
    assert not [name for name in early if "stability" in name or name.startswith("ml_input_missing{")]
    for at in range(199, 2000, 100):
        assert served.predict(*rows[at : at + 100])[0] == 200
    calm = figures(served)
    assert calm["ml_input_rows"] == 2000
    for name in TYPES:
        assert calm[f'ml_input_stability{{column="{name}"}}'] < 0.02
    assert calm['ml_input_missing{column="job"}'] == pytest.approx(0.1, abs=0.03)
    assert calm['ml_input_missing_training{column="seen"}'] == pytest.approx(
        training["seen"].null_count() / training.height, abs=1e-6
    )
    changed = instances(people(7500, 2, older=20, jobs=(0.1, 0.2, 0.2, 0.5)))
    for at in range(0, 7500, 100):
        assert served.predict(*changed[at : at + 100])[0] == 200
    moved = figures(served)
    assert 5000 <= moved["ml_input_rows"] <= 7500  # earlier rows are forgotten
    assert moved['ml_input_stability{column="age"}'] > 0.25
    assert moved['ml_input_stability{column="job"}'] > 0.25
    assert moved['ml_input_stability{column="member"}'] < 0.02
    assert moved['ml_input_missing{column="job"}'] == pytest.approx(0.5, abs=0.03)


def test_the_index_is_the_pipelines_own(folder: Path, training: pl.DataFrame) -> None:
    seen = watch(folder, "age")
    now = people(4000, 3, older=5)["age"].to_numpy()
    for block in np.split(now, 16):
        seen.add(Rows(len(block), {"age": block.astype(np.float64).reshape(-1, 1)}), ["no"] * len(block))
    before = np.sort(training["age"].to_numpy())
    cuts = np.unique(before[np.ceil(np.arange(1, 10) / 10 * len(before)).astype(int) - 1])

    def counted(values: Any) -> Any:
        return np.bincount(np.searchsorted(cuts, values), minlength=len(cuts) + 1)

    expected = effects.stability(counted(before), counted(now))
    line = next(line for line in seen.lines() if line.startswith("ml_input_stability{"))
    assert float(line.split()[-1]) == pytest.approx(expected, rel=1e-4)
    assert not math.isclose(expected, 0, abs_tol=0.01)


def test_predictions_like_those_for_the_training_rows_and_others(
    start: Start, folder: Path, training: pl.DataFrame
) -> None:
    loaded = model.load(folder)
    answers = loaded.predict(from_rows(instances(training), loaded.columns)).predictions
    counts = {name: answers.count(name) for name in CLASSES}
    assert min(counts.values()) > 100
    with_predictions(folder / "record.json", record.Categories("string", counts, 0))
    served = start(folder)
    served.predict(*instances(people(100, 1)))
    assert "ml_prediction_stability" not in figures(served)
    for at in range(0, 2000, 100):
        served.predict(*instances(people(100, at)))
    assert figures(served)["ml_prediction_stability"] < 0.02
    for at in range(0, 5000, 100):
        served.predict(*instances(people(100, at, older=-40)))
    assert figures(served)["ml_prediction_stability"] > 0.25


def test_predicted_numbers_are_compared_by_tenths(folder: Path) -> None:
    before = np.sort(np.random.default_rng(0).normal(size=5000))
    numbers = record.compact(record.Numbers("number", before, 0))
    with_predictions(folder / "record.json", numbers)
    index = {}
    for name, now in {"same": before[::2], "moved": before[::2] + 1}.items():
        seen = watch(folder)
        for block in np.split(now, 10):
            seen.add(Rows(len(block), {}), block.tolist())
        line = next(line for line in seen.lines() if line.startswith("ml_prediction_stability "))
        index[name] = float(line.split()[-1])
    edges = before[np.ceil(np.arange(1, 10) / 10 * 5000).astype(int) - 1]
    shares = [np.bincount(np.searchsorted(edges, values), minlength=10) for values in (before, before + 1)]
    assert index["same"] < 0.001
    assert index["moved"] == pytest.approx(effects.stability(*shares), rel=0.02)


def test_of_a_large_request_a_block_is_counted(folder: Path) -> None:
    seen = watch(folder, "age")
    seen.add(Rows(100_000, {"age": np.arange(100_000.0)}), ["no"] * 100_000)
    assert "ml_input_rows 250" in seen.lines()


def test_a_predictors_own_values_are_counted(
    start: Start, folder: Path, python_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "python"
    shutil.copytree(python_folder, copy)
    shutil.copy(folder / "record.json", copy)
    served = start(copy)
    assert served.predict(*instances(people(400, 4)))[0] == 200
    counted = figures(served)
    assert counted["ml_input_rows"] == 200  # every second row of them
    assert 0 <= counted['ml_input_stability{column="age"}'] < 0.2


NUMBERS = {"kind": "integer", "missing": 0, "values": [1, 2], "below": [0, 1], "spread": 0.5, "error": 0.0}
STRINGS = {"kind": "string", "missing": 0, "other": 0}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        {"format": 2},
        {"format": 1, "columns": {"age": {"kind": "integer"}}},
        {"format": 1, "rows": 2, "columns": {"age": NUMBERS | {"upto": [2]}}},
        {"format": 1, "rows": 2, "columns": {"job": STRINGS | {"counts": []}}},
        {"format": 1, "rows": 2, "columns": {"job": STRINGS | {"counts": {"a": None}}}},
    ],
)
def test_a_record_that_cannot_be_read_is_one_line_and_the_model_is_served(
    start: Start, folder: Path, capsys: pytest.CaptureFixture[str], content: Any
) -> None:
    (folder / "record.json").write_text(content if isinstance(content, str) else json.dumps(content))
    assert read_record(folder) is None
    line = capsys.readouterr().err
    assert line.startswith("serve: ")
    assert "so requests are not compared with the training rows; train again" in line
    assert line.count("\n") == 1
    assert figures(start(folder)) == {}


def test_a_record_of_an_older_image_has_no_predictions(start: Start, folder: Path) -> None:
    assert record.read(folder / "record.json").predictions is None
    served = start(folder)
    served.predict(*instances(people(400, 1)))
    counted = figures(served)
    assert 'ml_input_stability{column="age"}' in counted
    assert "ml_prediction_stability" not in counted


def test_without_a_record_inputs_are_not_measured(start: Start, onnx_folder: Path) -> None:
    assert not (onnx_folder / "record.json").exists()
    assert figures(start(onnx_folder)) == {}
    assert json.loads((onnx_folder / "model.json").read_text())
