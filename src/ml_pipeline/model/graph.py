"""A model as one ONNX graph from raw columns to predictions, run by ONNX Runtime on the CPU."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ml_pipeline.common.lines import one_line
from ml_pipeline.common.names import nearest
from ml_pipeline.common.onnx_runtime import onnxruntime
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model.rows import Reader
from ml_pipeline.model.signature import Column, Signature
from ml_pipeline.model.values import BadInput, from_rows, missing, wrong

_ELEMENTS: dict[str, Any] = {
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
            raise StageFailure(f"{path} is not there", "write it into ML_OUTPUT, or set serve.runtime")
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
        except Exception as error:  # its errors have no common class but this
            cause = f"{path} can't be loaded ({one_line(error)})"
            raise StageFailure(cause, "export it anew, and check it with onnx.checker") from error
        self._signature = signature
        self._inputs = {node.name: node for node in self._session.get_inputs()}
        self._check_inputs(path)
        # An element type may have no value for "missing"; then the column takes none, whatever is signed.
        self.columns = tuple(
            replace(column, nullable=column.nullable and self.takes_missing(column.name))
            for column in signature.columns
        )
        self._casts = [
            (column, _ELEMENTS[self._inputs[column.name].type], len(self._inputs[column.name].shape) == 2)
            for column in self.columns
        ]
        self._reader = Reader(self._casts)
        self._label, self._probabilities = self._find_outputs(path)
        self._outputs = [name for name in (self._label, self._probabilities) if name is not None]

    def takes_missing(self, name: str) -> bool:
        """Whether the input's element type has a value for "missing": NaN, or the empty string."""
        return np.dtype(_ELEMENTS[self._inputs[name].type]).kind in "fO"

    def inputs(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Columns [N] in the graph's element types and shapes. Raises `BadInput`."""
        feeds = {}
        for column, element, two in self._casts:
            array = _cast(column, arrays[column.name], element)
            feeds[column.name] = array.reshape(-1, 1) if two else array
        return feeds

    def read(self, rows: Any) -> dict[str, Any]:
        """JSON's rows. Raises `BadInput`."""
        return self._reader.read(rows) or self.inputs(from_rows(rows, self.columns))

    def run(self, arrays: Mapping[str, Any]) -> tuple[list[Any], Any | None]:
        """Answer columns [N]. Raises `BadInput`."""
        return self.answer(self.inputs(arrays))

    def answer(self, inputs: Mapping[str, Any]) -> tuple[list[Any], Any | None]:
        """Predictions [N] and, where the graph gives them, probabilities [N, C] in float32."""
        outputs = dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))
        probabilities = None
        if self._probabilities is not None:
            probabilities = np.ascontiguousarray(outputs[self._probabilities], dtype=np.float32)
        if self._label is not None:
            return self._labels(outputs[self._label].reshape(-1)), probabilities
        if probabilities is None:
            raise TypeError("a graph has labels, probabilities or both")
        classes = self._signature.classes
        return [classes[index] for index in np.argmax(probabilities, axis=1).tolist()], probabilities

    def _labels(self, labels: Any) -> list[Any]:
        values: list[Any] = labels.tolist()
        classes = self._signature.classes
        if self._signature.task == "regression" or labels.dtype.kind not in "iu":
            return values
        # Integers that are not the classes themselves are their places in `classes`.
        if all(type(name) is int for name in classes):
            return values
        return [classes[value] if 0 <= value < len(classes) else value for value in values]

    def _check_inputs(self, path: Path) -> None:
        columns = {column.name: column for column in self._signature.columns}
        for name, node in self._inputs.items():
            if name not in columns:
                raise StageFailure(
                    f"{path.name} has an input {name!r}, which is no column ({nearest(name, columns)})",
                    _EXPORT,
                )
            if node.type not in _ELEMENTS:
                raise StageFailure(f"{path.name} has an input {name!r} of type {node.type}", _EXPORT)
            shape = node.shape
            if len(shape) not in {1, 2} or isinstance(shape[0], int) or (len(shape) == 2 and shape[1] != 1):
                raise StageFailure(f"{path.name} has an input {name!r} of shape {shape}", _EXPORT)
            if (columns[name].type == "string") != (node.type == "tensor(string)"):
                kind = columns[name].type
                cause = f"{path.name} has an input {name!r} of {node.type}, and the column is {kind}"
                raise StageFailure(cause, "change the column's type in the schema, or the graph's")
        for name in columns:
            if name not in self._inputs:
                raise StageFailure(f"{path.name} has no input {name!r}, which the signature names", _EXPORT)

    def _find_outputs(self, path: Path) -> tuple[str | None, str | None]:
        """The names of label and probabilities: by name, else by shape."""
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
            wanted = "numbers [N]" if regression else "labels [N] or probabilities [N, C]"
            cause = f"{path.name} has no one output of {wanted} (its outputs: {shown})"
            raise StageFailure(cause, "name it prediction" + ("" if regression else " or probabilities"))
        return label, probabilities


def _one(name: str, fitting: set[str], shaped: list[str]) -> str | None:
    return name if name in fitting else shaped[0] if len(shaped) == 1 else None


def _cast(column: Column, array: Any, element: Any) -> Any:
    """`array` in the graph's element type. Raises `BadInput` for what that type can't hold."""
    wanted = np.dtype(element)
    if array.dtype == wanted:
        return array
    if wanted.kind == "f":
        with np.errstate(over="ignore"):
            cast = array.astype(wanted)
        lost = np.isinf(cast) & ~np.isinf(array.astype(np.float64))
        if lost.any():
            row = int(np.flatnonzero(lost)[0])
            raise wrong(row, column.name, f"a number that {wanted.name} holds", array[row].item())
        return cast
    if wanted.kind in "ib":
        none = np.flatnonzero(missing(array))
        if len(none):
            raise wrong(int(none[0]), column.name, "a value", None)
        limits = (0, 1) if wanted.kind == "b" else (np.iinfo(wanted).min, np.iinfo(wanted).max)
        bad = np.flatnonzero((array != np.floor(array)) | (array < limits[0]) | (array > limits[1]))
        if len(bad):
            row = int(bad[0])
            expected = f"a whole number from {limits[0]} to {limits[1]}"
            raise wrong(row, column.name, expected, array[row].item())
    try:
        return array.astype(wanted)
    except (ValueError, TypeError) as error:
        raise BadInput(f"column {column.name!r}: {error}", column=column.name) from None
