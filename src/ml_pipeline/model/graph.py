"""A model as one ONNX graph from raw columns to predictions, run by ONNX Runtime on the CPU."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from ml_pipeline.columns.values import Array, missing
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.names import nearest
from ml_pipeline.common.onnx_runtime import onnxruntime
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model.rows import Input, Reader
from ml_pipeline.model.signature import Column, Label, Signature
from ml_pipeline.model.values import BadInput, from_rows, wrong

_ELEMENTS: Mapping[str, type[np.generic]] = {
    "tensor(string)": np.object_,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
_FLOATS = frozenset({"tensor(float)", "tensor(double)", "tensor(float16)"})
_EXPORT = "export a graph whose inputs are named as the columns, each of shape [N] or [N, 1]"


class Graph:
    """`model.onnx`, opened. Thread-safe, as ONNX Runtime's sessions are."""

    def __init__(self, path: Path, signature: Signature, threads: int) -> None:
        if not path.is_file():
            raise StageFailure(f"{path} does not exist", "write it into ML_OUTPUT, or set serve.runtime")
        onnxruntime.set_default_logger_severity(3)  # errors only
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle threads that spin take the processor from the server itself.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors have no other common class
            cause = f"{path} can't be loaded ({one_line(error)})"
            raise StageFailure(cause, "export it again, and check it with onnx.checker") from error
        self._signature = signature
        self._inputs = {node.name: node for node in self._session.get_inputs()}
        self._check_inputs(path)
        # Some element types have no value for "missing"; then the column is not nullable, whatever the
        # signature says.
        self.columns = tuple(
            replace(column, nullable=column.nullable and self.takes_missing(column.name))
            for column in signature.columns
        )
        self.casts = tuple(
            Input(
                column, _ELEMENTS[self._inputs[column.name].type], len(self._inputs[column.name].shape) == 2
            )
            for column in self.columns
        )
        self._reader = Reader(self.casts)
        self._label, self._probabilities = self._find_outputs(path)
        self._outputs = [name for name in (self._label, self._probabilities) if name is not None]

    def takes_missing(self, name: str) -> bool:
        """Whether the input's element type has a value for "missing": NaN, or the empty string."""
        return np.dtype(_ELEMENTS[self._inputs[name].type]).kind in "fO"

    def inputs(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Return columns [N] in the graph's element types and shapes. Raises `BadInput`."""
        feeds = {}
        for column, element, is_matrix in self.casts:
            array = _cast(column, arrays[column.name], element)
            feeds[column.name] = array.reshape(-1, 1) if is_matrix else array
        return feeds

    def read(self, rows: object) -> dict[str, Array]:
        """Return the graph's inputs from JSON's rows. Raises `BadInput`."""
        return self._reader.read(rows) or self.inputs(from_rows(rows, self.columns))

    def run(self, arrays: Mapping[str, Array]) -> tuple[list[Label], npt.NDArray[np.float32] | None]:
        """Answer columns [N]. Raises `BadInput`."""
        return self.answer(self.inputs(arrays))

    def answer(self, inputs: Mapping[str, Array]) -> tuple[list[Label], npt.NDArray[np.float32] | None]:
        """Return predictions [N] and, where the graph gives them, probabilities [N, C] in float32."""
        outputs = dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))
        probabilities = None
        if self._probabilities is not None:
            probabilities = np.ascontiguousarray(outputs[self._probabilities], dtype=np.float32)
        if self._label is not None:
            return self._labels(outputs[self._label].reshape(-1)), probabilities
        classes, likeliest = self._signature.classes, np.argmax(np.asarray(probabilities), axis=1)
        return [classes[index] for index in likeliest.tolist()], probabilities

    def _labels(self, labels: Array) -> list[Label]:
        values: list[Label] = labels.tolist()
        classes = self._signature.classes
        if self._signature.task == "regression" or labels.dtype.kind not in "iu":
            return values
        # Integers that are not the classes themselves are their positions in `classes`.
        if all(type(name) is int for name in classes):
            return values
        return [classes[value] if 0 <= value < len(classes) else value for value in labels.tolist()]

    def _check_inputs(self, path: Path) -> None:
        columns = {column.name: column for column in self._signature.columns}
        for name, node in self._inputs.items():
            if name not in columns:
                raise StageFailure(
                    f"{path.name} has an input {name!r}, which is not a column ({nearest(name, columns)})",
                    _EXPORT,
                )
            if node.type not in _ELEMENTS:
                raise StageFailure(f"{path.name} has an input {name!r} of type {node.type}", _EXPORT)
            shape = node.shape
            if len(shape) not in {1, 2} or isinstance(shape[0], int) or (len(shape) == 2 and shape[1] != 1):
                raise StageFailure(f"{path.name} has an input {name!r} of shape {shape}", _EXPORT)
            if (columns[name].type == "string") != (node.type == "tensor(string)"):
                type_ = columns[name].type
                cause = f"{path.name} has an input {name!r} of {node.type}, and the column is {type_}"
                raise StageFailure(cause, "change the column's type in the schema, or the graph's")
        for name in columns:
            if name not in self._inputs:
                raise StageFailure(f"{path.name} has no input {name!r}, which the signature names", _EXPORT)

    def _find_outputs(self, path: Path) -> tuple[str | None, str | None]:
        """Return the names of the outputs with labels and probabilities, found by name or else by shape."""
        nodes = {node.name: node for node in self._session.get_outputs()}
        regression = self._signature.task == "regression"
        floats = {name for name, node in nodes.items() if node.type in _FLOATS}
        labels = floats if regression else {n for n, node in nodes.items() if node.type in _ELEMENTS} - floats
        scores = set() if regression else floats
        flat = [name for name in labels if len(nodes[name].shape) == 1 or nodes[name].shape[1:] == [1]]
        wide = [name for name in scores if len(nodes[name].shape) == 2 and nodes[name].shape[1] != 1]
        label = _one("prediction", labels, flat)
        probabilities = _one("probabilities", scores, wide)
        if label is None and probabilities is None:
            shown = ", ".join(f"{name}: {node.type} {node.shape}" for name, node in nodes.items())
            expected = "numbers [N]" if regression else "labels [N] or probabilities [N, C]"
            cause = f"{path.name} does not have exactly one output of {expected} (its outputs: {shown})"
            raise StageFailure(cause, "name it prediction" + ("" if regression else " or probabilities"))
        return label, probabilities


def _one(name: str, candidates: set[str], shaped: list[str]) -> str | None:
    return name if name in candidates else shaped[0] if len(shaped) == 1 else None


def _cast(column: Column, array: Array, element: type[np.generic]) -> Array:
    """Return a column [N] in the graph's element type. Raises `BadInput` for a value that does not fit."""
    target = np.dtype(element)
    if array.dtype == target:
        return array
    if target.kind == "f":
        return _as_floats(column, array, target)
    if target.kind in "ib":
        _require_integers(column, array, target)
    try:
        return array.astype(target)
    except (ValueError, TypeError) as error:
        raise BadInput(f"column {column.name!r}: {error}", column=column.name) from None


def _as_floats(column: Column, array: Array, target: np.dtype[np.generic]) -> Array:
    with np.errstate(over="ignore"):
        floats = array.astype(target)
    lost = np.isinf(floats) & ~np.isinf(array.astype(np.float64))
    if lost.any():
        row = int(np.flatnonzero(lost)[0])
        raise wrong(row, column.name, f"a number that {target.name} holds", array[row].item())
    return floats


def _require_integers(column: Column, array: Array, target: np.dtype[np.generic]) -> None:
    absent = np.flatnonzero(missing(array))
    if len(absent):
        raise wrong(int(absent[0]), column.name, "a value", None)
    if target.kind == "b":
        least, most = 0, 1
    else:
        limits = np.iinfo(target.name)
        least, most = limits.min, limits.max
    numbers = cast("npt.NDArray[np.float64]", array)  # or integers, or booleans
    bad = np.flatnonzero((numbers != np.floor(numbers)) | (numbers < least) | (numbers > most))
    if len(bad):
        row = int(bad[0])
        raise wrong(row, column.name, f"a whole number from {least} to {most}", array[row].item())
