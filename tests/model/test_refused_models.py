"""Models that the inspection refuses, each with one line that says why."""

import re
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from ml_pipeline.common.outcome import StageFailure
from tests.graphs import simple
from tests.model.inspections import Inspect

pytestmark = pytest.mark.program

BAD_GRAPHS: dict[str, tuple[bytes, str]] = {
    "broken": (b"broken\n", "model.onnx can't be read: "),
    "empty": (b"", "model.onnx can't be read: "),
    "an input that is not a column": (
        simple(inputs={"age": TensorProto.FLOAT, "jobb": TensorProto.STRING}),
        "model.onnx has inputs that are not columns ('jobb': did you mean 'job'?)",
    ),
    "the target as input": (
        simple(inputs={"age": TensorProto.FLOAT, "club": TensorProto.STRING}),
        "model.onnx has inputs that are not columns ('club': there are: age, job, member, seen, note)",
    ),
    "a string column as numbers": (
        simple(inputs={"age": TensorProto.FLOAT, "job": TensorProto.FLOAT}),
        "model.onnx has an input 'job' of tensor(float), and the column is string",
    ),
    "a fixed batch": (simple(batch=1), "model.onnx has an input 'age' of shape [1]"),
    "probabilities that do not sum to 1": (
        simple(
            nodes=[helper.make_node("Add", ["chances", "one"], ["much"])],
            outputs={"much": (TensorProto.FLOAT, ["N", 2])},
        ),
        "model.onnx has probabilities that do not sum to 1 in each row",
    ),
    "probabilities of another number of classes": (
        simple(
            nodes=[helper.make_node("Concat", ["chances", "chances"], ["wide"], axis=1)],
            outputs={"wide": (TensorProto.FLOAT, ["N", 4])},
        ),
        "model.onnx has probabilities of shape [60, 4], not [60, 2]",
    ),
    "a label that is not a class": (
        simple(
            nodes=[
                helper.make_node("ArgMax", ["chances"], ["best"], axis=1, keepdims=0),
                helper.make_node("Gather", ["names", "best"], ["label"]),
            ],
            outputs={"label": (TensorProto.STRING, ["N"])},
        ),
        "model.onnx predicts 'maybe', which is not one of the classes 'no', 'yes'",
    ),
    "rows that mix": (
        simple(
            nodes=[
                helper.make_node("Softmax", ["chances"], ["across"], axis=0),
                helper.make_node("ReduceSum", ["across", "last"], ["sums"]),
                helper.make_node("Div", ["across", "sums"], ["mixed"]),
            ],
            outputs={"mixed": (TensorProto.FLOAT, ["N", 2])},
        ),
        "model.onnx answers a row differently alone than among others",
    ),
}


@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_a_graph_is_refused(inspect: Inspect, model: Path, case: str) -> None:
    content, message = BAD_GRAPHS[case]
    (model / "model.onnx").write_bytes(content)
    with pytest.raises(StageFailure, match=re.escape(message)):
        inspect()


BAD_PREDICTORS = {
    "def load(folder)\n    pass": "predictor.py can't be parsed: expected ':' (predictor.py, line 1)",
    "def load(folder):\n    pass": "predictor.py has no function 'predict'",
    "def load():\n    pass\ndef predict(rows):\n    pass": "load in predictor.py does not take one argument",
    "def load(folder):\n    pass\ndef predict(model, rows):\n    pass": (
        "predict in predictor.py does not take one argument"
    ),
}


@pytest.mark.parametrize("source", BAD_PREDICTORS)
def test_a_predictor_is_refused(inspect: Inspect, model: Path, source: str) -> None:
    (model / "predictor.py").write_text(source)
    with pytest.raises(StageFailure) as refused:
        inspect()
    assert refused.value.cause == BAD_PREDICTORS[source]


def test_settings_that_do_not_fit(inspect: Inspect, model: Path) -> None:
    (model / "metrics.json").write_text("{}")
    with pytest.raises(StageFailure, match=r"data\.positive is 'yep', which is not a class of 'club'"):
        inspect(positive="yep")
    with pytest.raises(StageFailure) as refused:
        inspect(target="clubb")
    assert refused.value.cause == "the training rows have no column 'clubb'"
    assert refused.value.hint == "check data.target: did you mean 'club'?"


def test_an_empty_folder(inspect: Inspect) -> None:
    with pytest.raises(StageFailure, match=r"has none of model\.onnx, predictor\.py and metrics\.json"):
        inspect()
