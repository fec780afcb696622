"""Models that the server refuses to start with, each with one line that says why."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.programs import CLASSES, COLUMNS, EXAMPLE, Start, graph, run, signature

pytestmark = pytest.mark.program


def broken_folder(tmp_path: Path, model: Any, **changes: Any) -> Path:
    if model is not None:
        data = model if isinstance(model, bytes) else model.SerializeToString()
        (tmp_path / "model.onnx").write_bytes(data)
    (tmp_path / "model.json").write_text(json.dumps(signature(**changes)))
    return tmp_path


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        (None, {}, "model.onnx does not exist"),
        (b"garbage", {}, "model.onnx can't be loaded"),
        (
            graph(),
            {"columns": COLUMNS[1:]},
            "has an input 'age', which is not a column (there are: job, member",
        ),
        (
            graph(),
            {"columns": [*COLUMNS, {"name": "zip", "type": "string", "nullable": True}]},
            "has no input 'zip', which the signature names",
        ),
        (
            graph(),
            {"columns": [COLUMNS[0], COLUMNS[1] | {"type": "number"}, *COLUMNS[2:]]},
            "has an input 'job' of tensor(string), and the column is number",
        ),
        (graph(), {"columns": [COLUMNS[0] | {"type": "int"}]}, "gives column 'age' the type 'int'"),
        (
            graph(),
            {"classes": ["a", "b"]},
            "the model predicts 'yes', which is not one of its classes 'a', 'b'",
        ),
        (graph(), {"classes": [*CLASSES, "maybe"]}, "probabilities have shape [3, 2], not [3, 3]"),
        (
            graph(),
            {"example": EXAMPLE | {"age": "x"}},
            "fails on its own example (BadInput: instances[0].age",
        ),
        (graph(), {"task": "ranking"}, "has task 'ranking', expected classification or regression"),
        (graph(), {"format": 99}, "has format 99, and this version reads format 1 only"),
        (graph(), {"runtime": None}, "has runtime null: the training wrote metrics alone"),
        (graph(), {"classes": ["yes"]}, "names 1 classes, fewer than 2"),
        (None, {"runtime": "python"}, "predictor.py does not exist"),
    ],
)
def test_a_model_that_cannot_be_served_fails_before_it_listens(
    tmp_path: Path, model: Any, changes: Any, message: str
) -> None:
    folder = broken_folder(tmp_path, model, **changes)
    done = run("serving.serve", ML_MODEL=str(folder), ML_PORT="0")
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("serve: ")
    assert message in lines[0]


def test_an_integer_input_takes_no_null(start: Start, tmp_path: Path) -> None:
    nullable = [COLUMNS[0] | {"nullable": True}, *COLUMNS[1:]]
    served = start(broken_folder(tmp_path, graph(age=onnx.TensorProto.INT32), columns=nullable))
    assert served.predict({"age": 50})[0] == 200
    assert served.predict({"age": None})[0] == 422
    status, answer = served.predict({"age": 2**40})
    assert (status, answer["column"]) == (422, "age")
    assert "a whole number from -2147483648 to 2147483647" in answer["error"]
