"""The two protocols: `{"instances": [...]}`, and tensors by the Open Inference Protocol v2.

Both are functions from a request's bytes to an answer's: what they are served by does not matter.
The v2 protocol: https://github.com/kserve/open-inference-protocol.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from ml_pipeline.stages.model import Answer, Model
from ml_pipeline.stages.names import nearest
from ml_pipeline.stages.serving.columns import BadInput, from_rows, from_values

_NUMBERS = frozenset(
    {"FP16", "FP32", "FP64", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))}
)
_TAKEN = {
    "string": frozenset({"BYTES"}),
    "boolean": frozenset({"BOOL"}),
    "integer": _NUMBERS,
    "number": _NUMBERS,
    "datetime": _NUMBERS | {"BYTES"},
}
_DATATYPES = {"string": "BYTES", "boolean": "BOOL", "integer": "INT64", "number": "FP64", "datetime": "FP64"}


def encode(document: Any) -> bytes:
    """JSON; NaN becomes null, float32 keeps its shortest form."""
    text: bytes = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return text


def decode(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises `BadInput`."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}", expected="JSON") from None
    if type(document) is not dict:
        raise BadInput(f"the body is not a JSON object but {type(document).__name__}", expected="an object")
    return document


def predict(model: Model, body: bytes) -> tuple[Answer, bytes]:
    """`{"instances": [{column: value}]}` to `{"predictions", "probabilities", "model"}`."""
    document = decode(body)
    for key in document:
        if key != "instances":
            raise BadInput(f"{key}: no such key; {nearest(key, ['instances'])}", expected="instances")
    answer = model.predict(from_rows(document.get("instances"), model.columns))
    said: dict[str, Any] = {"predictions": answer.predictions}
    if answer.probabilities is not None:
        said["probabilities"] = answer.probabilities
    said["model"] = {"name": model.signature.name, "version": model.signature.version}
    return answer, encode(said)


def describe(model: Model) -> dict[str, Any]:
    """The v2 metadata of the model. A column that may be missing takes JSON's null, or NaN, in its data."""
    classes = model.signature.classes
    outputs = [{"name": "prediction", "datatype": _label_type(model), "shape": [-1]}]
    if classes:
        outputs.append({"name": "probabilities", "datatype": "FP32", "shape": [-1, len(classes)]})
    return {
        "name": model.signature.name,
        "versions": [model.signature.version],
        "platform": "onnxruntime_onnx" if model.signature.runtime == "onnx" else "python",
        "inputs": [
            {"name": column.name, "datatype": _DATATYPES[column.type], "shape": [-1]}
            for column in model.columns
        ],
        "outputs": outputs,
    }


def infer(model: Model, body: bytes) -> tuple[Answer, bytes]:
    """A v2 request of JSON tensors [N] or [N, 1], one a column, to a v2 answer."""
    document = decode(body)
    tensors = document.get("inputs")
    if type(tensors) is not list or not tensors or set(map(type, tensors)) != {dict}:
        raise BadInput("inputs: expected a list of tensors", expected="a list of tensors")
    columns = {column.name: column for column in model.columns}
    values: dict[str, list[Any]] = {}
    for index, tensor in enumerate(tensors):
        name = tensor.get("name")
        if name not in columns:
            cause = f"inputs[{index}]: the model has no column {name!r}; {nearest(str(name), columns)}"
            raise BadInput(cause, expected="a column of the model")
        if name in values:
            raise BadInput(f"inputs[{index}]: {name!r} is given twice", column=name)
        values[name] = _data(tensor, index, columns[name].type)
    lengths = {len(data) for data in values.values()}
    if len(lengths) != 1 or not max(lengths):
        raise BadInput("inputs: expected the same number of rows, at least one, in every tensor")
    rows = lengths.pop()
    arrays = {
        name: from_values(column, values.get(name) or [None] * rows) for name, column in columns.items()
    }
    answer = model.predict(arrays)
    return answer, encode(_infer_answer(model, document, answer))


def _data(tensor: Mapping[str, Any], index: int, kind: str) -> list[Any]:
    name, datatype, shape = tensor.get("name"), tensor.get("datatype"), tensor.get("shape")
    if datatype not in _TAKEN[kind]:
        expected = " or ".join(sorted(_TAKEN[kind]))
        raise BadInput(
            f"inputs[{index}].datatype: expected {expected}, got {datatype!r}", None, name, expected
        )
    if type(shape) is not list or not all(type(size) is int and size >= 0 for size in shape):
        raise BadInput(f"inputs[{index}].shape: expected a list of sizes", None, name, "[N] or [N, 1]")
    if len(shape) not in {1, 2} or (len(shape) == 2 and shape[1] != 1):
        raise BadInput(
            f"inputs[{index}].shape: expected [N] or [N, 1], got {shape}", None, name, "[N] or [N, 1]"
        )
    data = tensor.get("data")
    if type(data) is not list:
        cause = f"inputs[{index}].data: expected a list (tensors in binary form are not taken)"
        raise BadInput(cause, None, name, "a list")
    if data and all(type(row) is list and len(row) == 1 for row in data):
        data = [row[0] for row in data]
    if len(data) != math.prod(shape):
        cause = f"inputs[{index}].data: expected {math.prod(shape)} values by its shape, got {len(data)}"
        raise BadInput(cause, None, name, f"{math.prod(shape)} values")
    return data


def _label_type(model: Model) -> str:
    classes = model.signature.classes
    if not classes:
        return "FP64"
    kinds = set(map(type, classes))
    return (
        {bool: "BOOL", int: "INT64", float: "FP64"}.get(kinds.pop(), "BYTES") if len(kinds) == 1 else "BYTES"
    )


def _infer_answer(model: Model, document: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    rows = len(answer.predictions)
    datatype = _label_type(model)
    labels = [str(value) for value in answer.predictions] if datatype == "BYTES" else answer.predictions
    outputs: dict[str, dict[str, Any]] = {
        "prediction": {"name": "prediction", "datatype": datatype, "shape": [rows], "data": labels}
    }
    if answer.probabilities is not None:
        flat = np.ascontiguousarray(answer.probabilities).reshape(-1)
        shape = list(answer.probabilities.shape)
        tensor = {"name": "probabilities", "datatype": "FP32", "shape": shape, "data": flat}
        outputs["probabilities"] = tensor
    wanted = document.get("outputs") or [{"name": name} for name in outputs]
    if type(wanted) is not list or not all(type(output) is dict for output in wanted):
        raise BadInput("outputs: expected a list of outputs by name", expected="a list")
    for output in wanted:
        if output.get("name") not in outputs:
            name = str(output.get("name"))
            raise BadInput(f"outputs: the model has no output {name!r}; {nearest(name, outputs)}")
    said = {
        "model_name": model.signature.name,
        "model_version": model.signature.version,
        "outputs": [outputs[output["name"]] for output in wanted],
    }
    return said | ({"id": str(document["id"])} if document.get("id") is not None else {})
