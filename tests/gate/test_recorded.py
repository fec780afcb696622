"""Recorded requests in each of their forms, as both images' batch commands read them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.programs import run

pytestmark = pytest.mark.program

ROWS: list[dict[str, Any]] = [
    {"age": 30, "job": "clerk", "member": True, "seen": "2024-01-01T00:00:00Z"},
    {"age": 45, "job": None, "member": None, "seen": None},
    {"age": 70, "job": "smith", "member": False, "seen": 1704067260},
]
SECONDS = [1704067200.0, np.nan, 1704067260.0]


def read(folder: Path, name: str, model: Path) -> tuple[int, str, dict[str, Any]]:
    """Run the program; return its exit code, the last line of stderr, and the columns."""
    output = folder / "requests.npz"
    told = ("--data", folder, "--path", name, "--model-json", model / "model.json", "--output", output)
    result = run("gate.recorded", *told)
    arrays = dict(np.load(output, allow_pickle=False)) if output.exists() else {}
    return result.returncode, (result.stderr.splitlines() or [""])[-1], arrays


def check(arrays: dict[str, Any]) -> None:
    assert arrays["age"].tolist() == [30, 45, 70]
    assert arrays["job"].tolist() == ["clerk", "", "smith"]
    np.testing.assert_array_equal(arrays["member"].astype(float), [1, np.nan, 0])
    np.testing.assert_array_equal(arrays["seen"], SECONDS)


def test_lines_are_rows_or_whole_requests(tmp_path: Path, onnx_folder: Path) -> None:
    whole = {"instances": ROWS[1:], "parameters": {}}
    (tmp_path / "asked.jsonl").write_text(f"{json.dumps(ROWS[0])}\n\n{json.dumps(whole)}\n")
    code, line, arrays = read(tmp_path, "asked.jsonl", onnx_folder)
    assert (code, line) == (0, "")
    check(arrays)
    answers = ("--input", tmp_path / "requests.npz", "--output", tmp_path / "predictions.npz")
    assert run("serving.predict", *answers, ML_MODEL=str(onnx_folder)).returncode == 0


def test_a_fetched_object_is_named_by_its_url(tmp_path: Path, onnx_folder: Path) -> None:
    (tmp_path / "s3:/bucket").mkdir(parents=True)
    (tmp_path / "s3:/bucket/asked.jsonl").write_text(json.dumps(ROWS[0]) + "\n{}\n")
    code, line, _ = read(tmp_path, "s3://bucket/asked.jsonl", onnx_folder)
    assert (code, "s3://bucket/asked.jsonl line 2: age: expected an integer, got null" in line) == (1, True)


@pytest.mark.parametrize("name", ["asked.parquet", "asked.csv"])
def test_tables_may_have_more_columns(tmp_path: Path, onnx_folder: Path, name: str) -> None:
    columns = {key: [row[key] for row in ROWS] for key in ("age", "job", "member")}
    seen = pl.Series([None if np.isnan(value) else int(value) for value in SECONDS])
    columns |= {"answered": ["yes", "no", "yes"]}
    frame = pl.DataFrame(columns).with_columns(seen=pl.from_epoch(seen, time_unit="s"))
    write = frame.write_parquet if name.endswith("parquet") else frame.write_csv
    write(tmp_path / name)
    code, line, arrays = read(tmp_path, name, onnx_folder)
    assert (code, line) == (0, "")
    assert set(arrays) == {"age", "job", "member", "seen"}
    check(arrays)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('{"age": 1}\n{"age": "old"}\n', "asked.jsonl line 2: age: expected an integer, got 'old'"),
        ('{"instances": [{"age": 1}, {"job": "clerk"}]}\n', "line 1: age: expected an integer, got null"),
        (
            '{"age": 1, "wage": 2}\n',
            "asked.jsonl line 1: wage: the model has no such column; did you mean 'age'?",
        ),
        ('{"age": NaN}\n', "asked.jsonl line 1 is not JSON: NaN is not a number in JSON"),
        ("{\n", "asked.jsonl line 1 is not JSON: "),
        ("3\n", "asked.jsonl line 1: expected an object of columns, got 3"),
        ('{"instances": []}\n', "'asked.jsonl' has no requests"),
        ("", "'asked.jsonl' has no requests"),
    ],
)
def test_lines_that_predict_would_refuse(tmp_path: Path, onnx_folder: Path, text: str, cause: str) -> None:
    (tmp_path / "asked.jsonl").write_text(text)
    code, line, arrays = read(tmp_path, "asked.jsonl", onnx_folder)
    assert (code, arrays) == (1, {})
    assert line.startswith("prepare-requests: ")
    assert cause in line


def test_a_line_too_deep_to_read(tmp_path: Path, onnx_folder: Path) -> None:
    (tmp_path / "asked.jsonl").write_text("[" * 200_000)
    code, line, _ = read(tmp_path, "asked.jsonl", onnx_folder)
    assert (code, "asked.jsonl line 1 is not JSON: " in line) == (1, True)


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("asked.csv", "age,job\n1,clerk\n", "'asked.csv' lacks column 'member', which the model reads"),
        (
            "asked.csv",
            "age,job,member,seen\n,a,true,\n",
            "'asked.csv' has no 'age' in row 1, where the model needs",
        ),
        (
            "asked.csv",
            "age,job,member,seen\nx,a,true,\n",
            "'asked.csv': column 'age' has 1 value that is not an integer (row 1)",
        ),
        ("asked.txt", "what", "asked.txt is neither Parquet nor CSV"),
        ("else.jsonl", "", "'asked.jsonl' can't be read: "),
        ("else.csv", "a,b\n1,2\n", "path 'asked.csv' does not exist"),
    ],
)
def test_files_that_are_no_requests(
    tmp_path: Path, onnx_folder: Path, name: str, text: str, cause: str
) -> None:
    (tmp_path / name).write_text(text)
    code, line, _ = read(tmp_path, name.replace("else", "asked"), onnx_folder)
    assert code == 1
    assert cause in line
