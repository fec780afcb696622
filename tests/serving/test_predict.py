"""The batch command, as a program of its own."""

import csv
import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.programs import run

pytestmark = pytest.mark.program

NAN = math.nan
ROWS = 20_001  # more than two pieces, and one row beyond


def columns(rows: int) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    member = generator.integers(0, 2, rows).astype(np.float64)
    member[::5] = NAN
    seen = np.full(rows, 1.7e9)
    seen[1::3] = NAN
    return {
        "age": generator.integers(17, 90, rows),
        "job": generator.choice(["clerk", "smith", "", "Ørsted, son"], rows),
        "member": member,
        "seen": seen,
    }


def expected(rows: dict[str, Any]) -> Any:
    job = np.select([rows["job"] == "clerk", rows["job"] == "smith"], [1.0, -1.0], 0.0)
    score = (rows["age"] - 40) / 10 + job + np.nan_to_num(rows["member"]) / 2 + ~np.isnan(rows["seen"])
    return 1 / (1 + np.exp(-score))


def write_csv(path: Path, rows: dict[str, Any]) -> None:
    def text(value: Any) -> str:
        return "" if isinstance(value, float) and math.isnan(value) else str(value)

    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(rows)
        for row in zip(*(array.tolist() for array in rows.values()), strict=True):
            writer.writerow([text(value) for value in row])


def test_npz_to_npz(onnx_folder: Path, tmp_path: Path) -> None:
    rows = columns(ROWS)
    np.savez(tmp_path / "in.npz", **rows, income=np.zeros(ROWS))
    outcome = tmp_path / "outcome.json"
    arguments: list[str | Path] = [
        "--model",
        onnx_folder,
        "--input",
        tmp_path / "in.npz",
        "--output",
        tmp_path / "new" / "out.npz",
    ]
    done = run("serving.predict", *arguments, ML_OUTCOME=str(outcome))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(outcome.read_text())["details"]["rows"] == ROWS
    with np.load(tmp_path / "new" / "out.npz", allow_pickle=False) as out:
        assert out["probabilities"].dtype == np.float32
        np.testing.assert_allclose(out["probabilities"][:, 1], expected(rows), atol=1e-6)
        assert out["predictions"].dtype.kind == "U"
        decided = np.abs(expected(rows) - 0.5) > 1e-6
        labels = np.where(expected(rows) > 0.5, "yes", "no")
        np.testing.assert_array_equal(out["predictions"][decided], labels[decided])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.npz"]


def test_csv_and_npz_say_the_same_and_twice_the_same_bytes(onnx_folder: Path, tmp_path: Path) -> None:
    rows = columns(9_000)
    np.savez(tmp_path / "in.npz", **rows)
    write_csv(tmp_path / "in.csv", rows)
    digests = []
    for name in ("a.csv", "b.csv", "a.npz", "b.npz"):
        source = tmp_path / ("in.csv" if name.startswith("a") else "in.npz")
        done = run("serving.predict", "--model", onnx_folder, "--input", source, "--output", tmp_path / name)
        assert (done.returncode, done.stderr) == (0, "")
        digests.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    assert digests[2] == digests[3]
    with (tmp_path / "a.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert list(lines[0]) == ["prediction", "p_no", "p_yes"]
    np.testing.assert_allclose([float(line["p_yes"]) for line in lines], expected(rows), atol=1e-6)


def test_python_runtime(python_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(
        "job,age,member,seen,note\nx,41,true,,1\n,41,,2024-01-01,2\nx,39.0,0,,3\n"
    )
    done = run(
        "serving.predict",
        "--model",
        python_folder,
        "--input",
        tmp_path / "in.csv",
        "--output",
        tmp_path / "o.csv",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "o.csv").read_text() == "prediction\nyes\nno\nno\n"


def header(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


def arrays(**changes: Any) -> Callable[[Path], None]:
    rows = {"age": np.array([1, 2]), "job": np.array(["a", ""]), "member": np.zeros(2), "seen": np.zeros(2)}
    arrays_ = {name: array for name, array in (rows | changes).items() if array is not None}
    return lambda path: np.savez(path, **arrays_)


def one_array(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))


def nothing(path: Path) -> None:
    assert not path.exists()


class Unpickled:
    """Ends up in an object array, which needs pickle."""


@pytest.mark.parametrize(
    ("suffix", "write", "message"),
    [
        (".npz", nothing, "in.npz does not exist"),
        (".txt", lambda path: path.write_text("x"), "in.txt is neither .npz nor .csv"),
        (".npz", lambda path: path.write_bytes(b""), "is not an .npz file of plain arrays"),
        (".npz", lambda path: path.write_bytes(b"PK\3\4 cut"), "is not an .npz file of plain arrays"),
        (".npz", one_array, "is one array, not named columns"),
        (".npz", arrays(job=np.array([Unpickled(), None])), "is not an .npz file of plain arrays"),
        (".npz", arrays(job=None, jobb=np.array(["a"])), "lacks column 'job' (did you mean 'jobb'?)"),
        (".npz", arrays(job=np.array([1, 2])), "has column 'job' as int64 [2], not string [N]"),
        (".npz", arrays(age=np.zeros((2, 2))), "has column 'age' as float64 [2, 2], not integer [N]"),
        (".npz", arrays(age=np.array([1])), "has 1 rows of 'age' and 2 of other columns"),
        (".npz", arrays(age=np.array([1, NAN])), "row 2, column 'age': expected an integer, got null"),
        (
            ".npz",
            arrays(
                **{
                    name: np.array([], dtype=kind)
                    for name, kind in (("age", int), ("job", "U1"), ("member", float), ("seen", float))
                }
            ),
            "has no rows",
        ),
        (".csv", header(""), "lacks column 'age'"),
        (".csv", header("age,job,member,seen\n"), "has no rows"),
        (".csv", header("age,job,member,seen\n1,a,1\n"), "line 2 has 3 fields, the header 4"),
        (
            ".csv",
            header("age,job,member,seen\n1,a,1,\nold,a,1,\n"),
            "row 2, column 'age': expected an integer, got 'old'",
        ),
        (
            ".csv",
            header("age,job,member,seen\n,a,1,\n"),
            "row 1, column 'age': expected an integer, got null",
        ),
        (
            ".csv",
            header("age,job,member,seen\n1,a,2,\n"),
            "row 1, column 'member': expected true or false, got '2'",
        ),
        (
            ".csv",
            header("age,job,member,seen\n1,a,,noon\n"),
            "row 1, column 'seen': expected an ISO 8601 time",
        ),
        (".csv", header("age,job,member,seen\n" + "1,a,,\n" * 8200 + "x,a,,\n"), "row 8201, column 'age'"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    onnx_folder: Path, tmp_path: Path, suffix: str, write: Callable[[Path], Any], message: str
) -> None:
    source = tmp_path / f"in{suffix}"
    write(source)
    target = tmp_path / "out" / "out.csv"
    done = run("serving.predict", "--model", onnx_folder, "--input", source, "--output", target)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("predict: ")
    assert message in lines[0]
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_a_folder_that_cannot_be_written(onnx_folder: Path, tmp_path: Path) -> None:
    arrays()(tmp_path / "in.npz")
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "out.npz"
    done = run("serving.predict", "--model", onnx_folder, "--input", tmp_path / "in.npz", "--output", target)
    assert done.returncode == 1
    assert done.stderr.startswith(f"predict: {target} can't be written (")


def test_a_row_on_which_the_model_fails_is_named(python_folder: Path, tmp_path: Path) -> None:
    rows = columns(9_000)
    rows["age"][8_500] = 666
    np.savez(tmp_path / "in.npz", **rows)
    words = ["--model", python_folder, "--input", tmp_path / "in.npz", "--output", tmp_path / "out.npz"]
    done = run("serving.predict", *words)
    assert done.returncode == 1
    assert "row 8501 (RuntimeError: no such age); remove the row, or train" in done.stderr
    assert done.stderr.count("\n") == 1
