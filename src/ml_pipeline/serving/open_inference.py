"""Tensors in, tensors out: the Open Inference Protocol v2, which KServe's and Triton's clients speak.

https://github.com/kserve/open-inference-protocol; tensors in binary form are an extension, see `binary`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ml_pipeline.columns.types import FORMS
from ml_pipeline.columns.values import Array
from ml_pipeline.common.names import nearest
from ml_pipeline.model.loaded import Answer, Model
from ml_pipeline.model.signature import Label
from ml_pipeline.model.values import BadInput, from_values, shown
from ml_pipeline.serving import binary
from ml_pipeline.serving.protocol import Call, Reply, decode, encode, require_rows

SIZE = "inference-header-content-length"  # a header: bytes of JSON in a body with tensors in binary form

_LABELS: Mapping[type, str] = {bool: "BOOL", int: "INT64", float: "FP64"}


class _Output(NamedTuple):
    """An output that the caller asks for."""

    name: str
    is_binary: bool


class _Tensor(NamedTuple):
    """An output as it is answered."""

    datatype: str
    shape: list[int]
    data: Sequence[Label] | Array


def describe(model: Model) -> dict[str, object]:
    """Return the v2 metadata of the model. A nullable column takes null, or NaN, in its data."""
    signature = model.signature
    outputs: list[dict[str, object]] = [
        {"name": "prediction", "datatype": _label_type(signature.classes), "shape": [-1]}
    ]
    if signature.classes:
        outputs.append({"name": "probabilities", "datatype": "FP32", "shape": [-1, len(signature.classes)]})
    return {
        "name": signature.name,
        "versions": [signature.version],
        "platform": "onnxruntime_onnx" if signature.runtime == "onnx" else "python",
        "inputs": [
            {"name": column.name, "datatype": FORMS[column.type].datatype, "shape": [-1]}
            for column in model.columns
        ],
        "outputs": outputs,
    }


def read(model: Model, body: bytes, most: int, json_size: int | None = None) -> Call:
    """Read tensors [N] or [N, 1], one for each column: JSON of `json_size` bytes, then binary data.

    N is `most` at most. Raises `BadInput` and `Unread`.
    """
    if json_size is not None and not 0 <= json_size <= len(body):
        raise BadInput(f"{SIZE}: the body has {len(body)} bytes, not {json_size} of JSON", expected="a size")
    document = decode(body if json_size is None else body[:json_size])
    tail = memoryview(body)[len(body) if json_size is None else json_size :]
    columns = {column.name: column for column in model.columns}
    values = _values(document, tail, {name: column.type for name, column in columns.items()})
    lengths = {len(data) for data in values.values()}
    if len(lengths) != 1 or not max(lengths):
        raise BadInput("inputs: expected the same number of rows, at least one, in every tensor")
    rows = lengths.pop()
    require_rows("inputs", rows, most)
    arrays = {
        name: from_values(column, values.get(name) or [None] * rows) for name, column in columns.items()
    }
    identity = document.get("id")
    if identity is not None and type(identity) not in {str, int}:
        raise BadInput(f"id: expected a string, got {shown(identity)}", expected="a string")
    write = partial(_write, model, _outputs(model, document), None if identity is None else str(identity))
    return Call(model.rows(arrays), write)


def _values(
    document: Mapping[str, object], tail: memoryview, types: Mapping[str, str]
) -> dict[str, list[object]]:
    """Return each input's values, of the JSON or of `tail`; `types` are the columns'."""
    tensors = document.get("inputs")
    if type(tensors) is not list or not tensors or set(map(type, tensors)) != {dict}:
        raise BadInput("inputs: expected a list of tensors", expected="a list of tensors")
    values: dict[str, list[object]] = {}
    for index, tensor in enumerate(tensors):
        name, place = tensor.get("name"), f"inputs[{index}]"
        if type(name) is not str or name not in types:
            cause = f"{place}: the model has no column {shown(name)}; {_near(name, types)}"
            raise BadInput(cause, expected="a column of the model")
        if name in values:
            raise BadInput(f"{place}: {name!r} is named twice", column=name)
        size = _parameters(tensor, place).get("binary_data_size")
        if size is not None and (type(size) is not int or not 0 <= size <= len(tail)):
            cause = f"{place}: {shown(size)} bytes of data, and {len(tail)} follow"
            raise BadInput(cause, None, name, "the size of its data")
        values[name] = _data(tensor, place, name, types[name], None if size is None else tail[:size])
        tail = tail[size or 0 :]
    if tail:
        raise BadInput(f"{len(tail)} bytes more than the tensors have", expected="binary_data_size of each")
    return values


def _near(name: object, names: Iterable[str]) -> str:
    return nearest(name if isinstance(name, str) else "", names)


def _parameters(document: Mapping[str, object], place: str) -> dict[str, object]:
    parameters = document.get("parameters") or {}
    if type(parameters) is not dict:
        raise BadInput(f"{place}.parameters: expected an object", expected="an object")
    return parameters


def _data(
    tensor: Mapping[str, object], place: str, name: str, column_type: str, packed: memoryview | None
) -> list[object]:
    """Return one tensor's values [N], checked against its datatype and shape."""
    datatype, shape, data = tensor.get("datatype"), tensor.get("shape"), tensor.get("data")
    datatypes = FORMS[column_type].datatypes
    if type(datatype) is not str or datatype not in datatypes:
        expected = " or ".join(sorted(datatypes))
        raise BadInput(f"{place}.datatype: expected {expected}, got {shown(datatype)}", None, name, expected)
    if type(shape) is not list or not all(type(size) is int and size >= 0 for size in shape):
        raise BadInput(f"{place}.shape: expected a list of sizes", None, name, "[N] or [N, 1]")
    if len(shape) not in {1, 2} or (len(shape) == 2 and shape[1] != 1):
        cause = f"{place}.shape: expected [N] or [N, 1], got {shown(shape)}"
        raise BadInput(cause, None, name, "[N] or [N, 1]")
    if packed is not None:
        try:
            data = binary.values(packed, datatype)
        except ValueError as error:
            raise BadInput(f"{place}: {error}", None, name, f"{datatype} in binary form") from None
    if type(data) is not list:
        raise BadInput(f"{place}.data: expected a list", None, name, "a list")
    if data and all(type(row) is list and len(row) == 1 for row in data):
        data = [row[0] for row in data]
    if len(data) != math.prod(shape):
        cause = f"{place}.data: expected {math.prod(shape)} values by its shape, got {len(data)}"
        raise BadInput(cause, None, name, f"{math.prod(shape)} values")
    return data


def _label_type(classes: Sequence[Label]) -> str:
    """Return the datatype of predictions: FP64 for a regression, BYTES for classes of several types."""
    if not classes:
        return "FP64"
    types = set(map(type, classes))
    return _LABELS.get(types.pop(), "BYTES") if len(types) == 1 else "BYTES"


def _outputs(model: Model, document: Mapping[str, object]) -> list[_Output]:
    """Return the outputs that the request names, or all of them where it names none."""
    names = ["prediction", *(["probabilities"] if model.signature.classes else [])]
    all_binary = bool(_parameters(document, "request").get("binary_data_output"))
    outputs = document.get("outputs") or [{"name": name} for name in names]
    if type(outputs) is not list or not all(type(output) is dict for output in outputs):
        raise BadInput("outputs: expected a list of outputs by name", expected="a list")
    requested: dict[str, _Output] = {}
    for index, output in enumerate(outputs):
        name = output.get("name")
        if name not in names:
            cause = f"outputs: the model has no output {shown(name)}; {_near(name, names)}"
            raise BadInput(cause, expected="an output of the model")
        if name in requested:
            raise BadInput(f"outputs[{index}]: {name!r} is named twice", expected="each output once")
        parameters = _parameters(output, f"outputs[{index}]")
        requested[name] = _Output(name, bool(parameters.get("binary_data", all_binary)))
    return list(requested.values())


def _write(model: Model, requested: Sequence[_Output], identity: str | None, answer: Answer) -> Reply:
    datatype = _label_type(model.signature.classes)
    labels = list(map(str, answer.predictions)) if datatype == "BYTES" else answer.predictions
    answered = {"prediction": _Tensor(datatype, [len(labels)], labels)}
    if answer.probabilities is not None:
        shares = np.ascontiguousarray(answer.probabilities)
        answered["probabilities"] = _Tensor("FP32", list(shares.shape), shares.reshape(-1))
    tensors, tail = [], []
    for output in requested:
        if output.name not in answered:  # a predictor may give no probabilities
            continue
        datatype, shape, data = answered[output.name]
        tensor: dict[str, object] = {"name": output.name, "datatype": datatype, "shape": shape}
        if output.is_binary:
            tail.append(binary.packed(data, datatype))
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            tensor["data"] = data
        tensors.append(tensor)
    document: dict[str, object] = {
        "model_name": model.signature.name,
        "model_version": model.signature.version,
        "outputs": tensors,
    }
    if identity is not None:
        document["id"] = identity
    text = encode(document)
    if not tail:
        return Reply(text)
    return Reply(text + b"".join(tail), media="application/octet-stream", headers=((SIZE, str(len(text))),))
