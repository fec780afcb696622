"""Open model.onnx as the serving image does, and let it answer before anyone relies on it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ml_pipeline.common.lines import one_line
from ml_pipeline.common.names import nearest
from ml_pipeline.common.onnx_runtime import onnxruntime
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model.graph import Graph
from ml_pipeline.model.inspecting.facts import example
from ml_pipeline.model.signature import Column, Signature
from ml_pipeline.model.values import BadInput, from_rows

ROWS = 100  # training rows that the graph must answer
DECLARE = "export it with a dynamic batch, softmax probabilities and labels of the target's own values"


def inspect_graph(
    path: Path, rows: Any, known: Sequence[Column], classes: list[Any] | None, required: set[str]
) -> tuple[list[Column], list[Any] | None]:
    """The columns that the graph takes, and its classes in its own order; `classes` None: a regression.

    A column is nullable where the graph still answers without it, and `required` does not name it.
    Raises `StageFailure` for a graph that can't be opened, fed with the rows, or believed.
    """
    inputs, metadata = _open(path)
    names = [column.name for column in known]
    if unknown := [name for name in inputs if name not in names]:
        which = "; ".join(f"{name!r}: {nearest(name, names)}" for name in unknown[:3])
        raise StageFailure(
            f"model.onnx has inputs that are no columns ({which})",
            "name its inputs as the columns of ML_DATA, without the target",
        )
    taken = [column for column in known if column.name in inputs]
    ordered = _ordered(classes, metadata)
    graph = Graph(path, signature(taken, ordered), 1)
    sample = rows.gather_every(max(1, rows.height // ROWS)).head(ROWS)
    sample = sample.drop_nulls([column.name for column in taken if not graph.takes_missing(column.name)])
    if sample.height:
        _answers(graph, {column.name: array(sample[column.name], column.type) for column in taken}, ordered)
    blank: dict[str, Any] = {
        column.name: _missing(column) for column in taken if graph.takes_missing(column.name)
    }
    whole = from_rows([example(rows, taken)], [replace(column, nullable=True) for column in taken])
    signed = [
        replace(
            column,
            nullable=column.name not in required
            and column.name in blank
            and _is_answered(graph, whole | {column.name: blank[column.name]}),
        )
        for column in taken
    ]
    try:
        _answers(graph, from_rows([example(rows, signed)], signed), ordered)
    except BadInput as error:
        raise StageFailure(
            f"no example can be made for model.onnx: {one_line(error)}", "check the data"
        ) from None
    return signed, ordered


def _open(path: Path) -> tuple[list[str], dict[str, str]]:
    onnxruntime.set_default_logger_severity(4)  # its errors are told below
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # they have no common class but this
        hint = "export it anew, and check it with onnx.checker"
        raise StageFailure(f"model.onnx can't be read: {one_line(error)}", hint) from error
    return [node.name for node in session.get_inputs()], session.get_modelmeta().custom_metadata_map


def _ordered(classes: list[Any] | None, metadata: Mapping[str, str]) -> list[Any] | None:
    """The classes in the order that the graph's metadata gives, where it names the same ones."""
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


def signature(columns: Sequence[Column], classes: Sequence[Any] | None) -> Signature:
    """What a graph is opened with before it has a name and a version."""
    task = "regression" if classes is None else "classification"
    return Signature("model", "", task, "onnx", tuple(columns), tuple(classes or ()))


def _answers(graph: Graph, arrays: Mapping[str, Any], classes: list[Any] | None) -> None:
    """Check the answers to N rows, and that the first row alone is answered alike."""
    try:
        predictions, probabilities = graph.run(arrays)
        alone, chances = graph.run({name: array[:1] for name, array in arrays.items()})
    except Exception as error:  # ONNX Runtime's have no common class but this
        raise StageFailure(f"model.onnx fails on training rows: {one_line(error)}", DECLARE) from error
    rows = len(next(iter(arrays.values())))
    if len(predictions) != rows:
        raise StageFailure(f"model.onnx answers {len(predictions)} values to {rows} rows", DECLARE)
    if classes is None:
        if not np.isfinite(np.asarray(predictions, float)).all():
            raise StageFailure(
                "model.onnx answers NaN or infinity to training rows", "train or export it anew"
            )
        same = np.allclose(alone, predictions[:1], rtol=1e-3)
    else:
        if strange := [value for value in predictions if value not in classes]:
            shown = ", ".join(map(repr, classes[:6]))
            raise StageFailure(f"model.onnx predicts {strange[0]!r}, which is no class of {shown}", DECLARE)
        same = alone == predictions[:1]
    if probabilities is not None and classes is not None:
        if probabilities.shape != (rows, len(classes)):
            shape = f"{list(probabilities.shape)}, not {[rows, len(classes)]}"
            raise StageFailure(f"model.onnx has probabilities of shape {shape}", DECLARE)
        if not (np.allclose(probabilities.sum(axis=1), 1, atol=1e-3) and (probabilities >= -1e-6).all()):
            raise StageFailure("model.onnx has probabilities that do not sum to 1 in each row", DECLARE)
        same = chances is not None and np.allclose(chances, probabilities[:1], atol=1e-3)
    if not same:
        raise StageFailure(
            "model.onnx answers a row differently alone than among others",
            "export it in evaluation mode, so that rows do not mix",
        )


def _is_answered(graph: Graph, arrays: Mapping[str, Any]) -> bool:
    try:
        predictions, probabilities = graph.run(arrays)
    except Exception:  # noqa: BLE001  # however it fails, it does not answer
        return False
    told = predictions if probabilities is None else probabilities
    return not any(isinstance(value, float) and not np.isfinite(value) for value in np.ravel(told).tolist())


def _missing(column: Column) -> Any:
    return np.array([""], object) if column.type == "string" else np.array([np.nan])


def array(series: Any, kind: str) -> Any:
    """A column as the server makes it of requests: objects with "", or float64 with NaN."""
    if kind == "string":
        return np.array(series.cast(pl.String).fill_null("").to_list(), object)
    if kind == "datetime":
        series = series.cast(pl.Datetime("us")).dt.timestamp("us").cast(pl.Float64) / 1e6
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
