"""Tensors in, tensors out: the Open Inference Protocol v2, which KServe's and Triton's clients speak.

https://github.com/kserve/open-inference-protocol; tensors in binary form are its extension, see `binary`.
"""

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ml_pipeline.common.names import nearest
from ml_pipeline.model.loaded import Answer, Model
from ml_pipeline.model.values import BadInput, from_values, shown
from ml_pipeline.serving import binary
from ml_pipeline.serving.protocol import Call, Reply, decode, encode

SIZE = "inference-header-content-length"  # bytes of JSON in a body that has tensors in binary form

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


def read(model: Model, body: bytes, json_size: int | None = None) -> Call:
    """Tensors [N] or [N, 1], one a column: JSON of `json_size` bytes, and then those in binary form.

    Raises `BadInput`.
    """
    if json_size is not None and not 0 <= json_size <= len(body):
        raise BadInput(f"{SIZE}: the body has {len(body)} bytes, not {json_size} of JSON", expected="a size")
    document = decode(body if json_size is None else body[:json_size])
    tensors = document.get("inputs")
    if type(tensors) is not list or not tensors or set(map(type, tensors)) != {dict}:
        raise BadInput("inputs: expected a list of tensors", expected="a list of tensors")
    columns = {column.name: column for column in model.columns}
    rest = memoryview(body)[len(body) if json_size is None else json_size :]
    values: dict[str, list[Any]] = {}
    for index, tensor in enumerate(tensors):
        name = tensor.get("name")
        if type(name) is not str or name not in columns:
            cause = f"inputs[{index}]: the model has no column {shown(name)}; {_near(name, columns)}"
            raise BadInput(cause, expected="a column of the model")
        if name in values:
            raise BadInput(f"inputs[{index}]: {name!r} is given twice", column=name)
        size = _parameters(tensor, f"inputs[{index}]").get("binary_data_size")
        if size is not None and (type(size) is not int or not 0 <= size <= len(rest)):
            cause = f"inputs[{index}]: {shown(size)} bytes of data, and {len(rest)} follow"
            raise BadInput(cause, None, name, "the size of its data")
        values[name] = _data(tensor, index, columns[name].type, None if size is None else rest[:size])
        rest = rest[size or 0 :]
    if rest:
        raise BadInput(f"{len(rest)} bytes more than the tensors have", expected="binary_data_size of each")
    lengths = {len(data) for data in values.values()}
    if len(lengths) != 1 or not max(lengths):
        raise BadInput("inputs: expected the same number of rows, at least one, in every tensor")
    rows = lengths.pop()
    arrays = {
        name: from_values(column, values.get(name) or [None] * rows) for name, column in columns.items()
    }
    identity = document.get("id")
    if identity is not None and type(identity) not in {str, int}:
        raise BadInput(f"id: expected a string, got {shown(identity)}", expected="a string")
    return Call(model.rows(arrays), partial(_write, model, _wanted(model, document), identity))


def _near(name: Any, names: Iterable[str]) -> str:
    return nearest(name if type(name) is str else "", names)


def _parameters(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    parameters = document.get("parameters") or {}
    if type(parameters) is not dict:
        raise BadInput(f"{where}.parameters: expected an object", expected="an object")
    return parameters


def _data(tensor: Mapping[str, Any], index: int, kind: str, packed: memoryview | None) -> list[Any]:
    name, datatype, shape = tensor.get("name"), tensor.get("datatype"), tensor.get("shape")
    if type(datatype) is not str or datatype not in _TAKEN[kind]:
        expected = " or ".join(sorted(_TAKEN[kind]))
        raise BadInput(
            f"inputs[{index}].datatype: expected {expected}, got {shown(datatype)}", None, name, expected
        )
    if type(shape) is not list or not all(type(size) is int and size >= 0 for size in shape):
        raise BadInput(f"inputs[{index}].shape: expected a list of sizes", None, name, "[N] or [N, 1]")
    if len(shape) not in {1, 2} or (len(shape) == 2 and shape[1] != 1):
        raise BadInput(
            f"inputs[{index}].shape: expected [N] or [N, 1], got {shown(shape)}", None, name, "[N] or [N, 1]"
        )
    data = tensor.get("data")
    if packed is not None:
        try:
            data = binary.values(packed, datatype)
        except ValueError as error:
            raise BadInput(f"inputs[{index}]: {error}", None, name, f"{datatype} in binary form") from None
    if type(data) is not list:
        raise BadInput(f"inputs[{index}].data: expected a list", None, name, "a list")
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


def _wanted(model: Model, document: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """The outputs asked for, and which of them in binary form; all of them where none is named."""
    names = [output["name"] for output in describe(model)["outputs"]]
    packed = bool(_parameters(document, "request").get("binary_data_output"))
    outputs = document.get("outputs") or [{"name": name} for name in names]
    if type(outputs) is not list or not all(type(output) is dict for output in outputs):
        raise BadInput("outputs: expected a list of outputs by name", expected="a list")
    wanted = []
    for index, output in enumerate(outputs):
        name = output.get("name")
        if name not in names:
            cause = f"outputs: the model has no output {shown(name)}; {_near(name, names)}"
            raise BadInput(cause, expected="an output of the model")
        parameters = _parameters(output, f"outputs[{index}]")
        wanted.append((name, bool(parameters.get("binary_data", packed))))
    return wanted


def _write(model: Model, wanted: list[tuple[str, bool]], identity: Any, answer: Answer) -> Reply:
    datatype = _label_type(model)
    labels = [str(value) for value in answer.predictions] if datatype == "BYTES" else answer.predictions
    outputs: dict[str, tuple[str, list[int], Any]] = {"prediction": (datatype, [len(labels)], labels)}
    if answer.probabilities is not None:
        shares = np.ascontiguousarray(answer.probabilities)
        outputs["probabilities"] = ("FP32", list(shares.shape), shares.reshape(-1))
    tensors, tail = [], []
    for name, packed in wanted:
        if name not in outputs:  # a predictor may give no probabilities
            continue
        kind, shape, data = outputs[name]
        tensor: dict[str, Any] = {"name": name, "datatype": kind, "shape": shape}
        if packed:
            tail.append(binary.packed(data, kind))
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            tensor["data"] = data
        tensors.append(tensor)
    document: dict[str, Any] = {
        "model_name": model.signature.name,
        "model_version": model.signature.version,
        "outputs": tensors,
    }
    if identity is not None:
        document["id"] = str(identity)
    text = encode(document)
    if not tail:
        return Reply(text)
    return Reply(text + b"".join(tail), media="application/octet-stream", headers=((SIZE, str(len(text))),))
