"""Open model.onnx as the serving image does, and let it answer before anyone relies on it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_pipeline.columns.arrays import to_array
from ml_pipeline.columns.types import missing_value
from ml_pipeline.columns.values import Array
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.names import nearest
from ml_pipeline.common.onnx_runtime import onnxruntime
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model.graph import Graph
from ml_pipeline.model.inspecting.facts import example
from ml_pipeline.model.signature import Column, Label, Signature
from ml_pipeline.model.values import BadInput, from_rows

ROWS = 100  # training rows that the graph must answer
DECLARE = "export it with a dynamic batch, softmax probabilities and labels of the target's own values"


def inspect_graph(
    path: Path,
    rows: pl.DataFrame,
    features: Sequence[Column],
    classes: list[Label] | None,
    required: set[str],
) -> tuple[list[Column], list[Label] | None]:
    """Return the columns that the graph takes, and its classes in its own order (None: a regression).

    A column is nullable where the graph still answers without it, and `required` does not name it.
    Raises `StageFailure` for a graph that can't be opened, does not take the rows, or answers them wrongly.
    """
    inputs, metadata = _open(path)
    names = [column.name for column in features]
    if unknown := [name for name in inputs if name not in names]:
        which = "; ".join(f"{name!r}: {nearest(name, names)}" for name in unknown[:3])
        raise StageFailure(
            f"model.onnx has inputs that are not columns ({which})",
            "name its inputs as the columns of ML_DATA, without the target",
        )
    taken = [column for column in features if column.name in inputs]
    ordered = _ordered(classes, metadata)
    graph = Graph(path, signature(taken, ordered), 1)
    sample = rows.gather_every(max(1, rows.height // ROWS)).head(ROWS)
    sample = sample.drop_nulls([column.name for column in taken if not graph.takes_missing(column.name)])
    if sample.height:
        _require_answers(graph, {c.name: to_array(sample[c.name], c.type) for c in taken}, ordered)
    signed = _nullable_where_answered(graph, rows, taken, required)
    try:
        _require_answers(graph, from_rows([example(rows, signed)], signed), ordered)
    except BadInput as error:
        cause = f"model.onnx does not take an example made from the training rows: {one_line(error)}"
        raise StageFailure(cause, "check the data") from None
    return signed, ordered


def _nullable_where_answered(
    graph: Graph, rows: pl.DataFrame, taken: Sequence[Column], required: set[str]
) -> list[Column]:
    """Return the columns, each nullable where the graph answers an example without it."""
    whole = from_rows([example(rows, taken)], [replace(column, nullable=True) for column in taken])

    def is_nullable(column: Column) -> bool:
        if column.name in required or not graph.takes_missing(column.name):
            return False
        kind = np.object_ if column.type == "string" else np.float64
        return _is_answered(graph, whole | {column.name: np.array([missing_value(column.type)], kind)})

    return [replace(column, nullable=is_nullable(column)) for column in taken]


def _open(path: Path) -> tuple[list[str], dict[str, str]]:
    onnxruntime.set_default_logger_severity(4)  # its errors are reported below
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no other common class
        hint = "export it again, and check it with onnx.checker"
        raise StageFailure(f"model.onnx can't be read: {one_line(error)}", hint) from error
    return [node.name for node in session.get_inputs()], session.get_modelmeta().custom_metadata_map


def _ordered(classes: list[Label] | None, metadata: Mapping[str, str]) -> list[Label] | None:
    """Return the classes in the order of the graph's metadata, if that names the same ones."""
    try:
        named = json.loads(metadata.get("classes", ""))
    except ValueError:
        return classes
    same = (
        classes is not None
        and isinstance(named, list)
        and sorted(map(repr, named)) == sorted(map(repr, classes))
    )
    return named if same else classes


def signature(columns: Sequence[Column], classes: Sequence[Label] | None) -> Signature:
    """Return what a graph is opened with before it has a name and a version."""
    task = "regression" if classes is None else "classification"
    return Signature("model", "", task, "onnx", tuple(columns), tuple(classes or ()))


def _require_answers(graph: Graph, arrays: Mapping[str, Array], classes: list[Label] | None) -> None:
    """Raise `StageFailure` unless N rows are answered well, and the first row alone as among the others."""
    try:
        predictions, probabilities = graph.run(arrays)
        alone, alone_probabilities = graph.run({name: array[:1] for name, array in arrays.items()})
    except Exception as error:  # ONNX Runtime's errors have no other common class
        raise StageFailure(f"model.onnx fails on training rows: {one_line(error)}", DECLARE) from error
    rows = len(next(iter(arrays.values())))
    if len(predictions) != rows:
        raise StageFailure(f"model.onnx returns {len(predictions)} values for {rows} rows", DECLARE)
    if classes is None:
        if not np.isfinite(np.asarray(predictions, float)).all():
            cause = "model.onnx answers NaN or infinity to training rows"
            raise StageFailure(cause, "train or export it again")
        same = np.allclose(np.asarray(alone, float), np.asarray(predictions[:1], float), rtol=1e-3)
    else:
        if strange := [value for value in predictions if value not in classes]:
            shown = ", ".join(map(repr, classes[:6]))
            cause = f"model.onnx predicts {strange[0]!r}, which is not one of the classes {shown}"
            raise StageFailure(cause, DECLARE)
        same = alone == predictions[:1]
    if probabilities is not None and alone_probabilities is not None and classes is not None:
        _require_probabilities(probabilities, [rows, len(classes)])
        same = np.allclose(alone_probabilities, probabilities[:1], atol=1e-3)
    if not same:
        raise StageFailure(
            "model.onnx answers a row differently alone than among others",
            "export it in evaluation mode, so that rows do not mix",
        )


def _require_probabilities(probabilities: npt.NDArray[np.float32], shape: list[int]) -> None:
    if list(probabilities.shape) != shape:
        cause = f"model.onnx has probabilities of shape {list(probabilities.shape)}, not {shape}"
        raise StageFailure(cause, DECLARE)
    if not (np.allclose(probabilities.sum(axis=1), 1, atol=1e-3) and (probabilities >= -1e-6).all()):
        raise StageFailure("model.onnx has probabilities that do not sum to 1 in each row", DECLARE)


def _is_answered(graph: Graph, arrays: Mapping[str, Array]) -> bool:
    try:
        predictions, probabilities = graph.run(arrays)
    except Exception:  # noqa: BLE001  # however it fails, it does not answer
        return False
    values = predictions if probabilities is None else probabilities.ravel().tolist()
    return not any(isinstance(value, float) and not np.isfinite(value) for value in values)
