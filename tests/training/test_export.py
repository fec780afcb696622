"""The exported graph, against the same arithmetic in NumPy, with weights that nobody trained."""

import json
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest

from ml_pipeline.training.tabular import columns, export
from tests.training.tabular_rows import rows

pytestmark = pytest.mark.program


def weights_of(fitted: columns.Columns, outputs: int, seed: int = 0) -> dict[str, Any]:
    """Random weights of a small network: 3 members, an embedding of 4, one layer of 8."""
    generator = np.random.default_rng(seed)
    features, count = (
        len(fitted.features),
        max([feature.edges.size - 1 for feature in fitted.features], default=1),
    )
    low, inverse = np.zeros((features, 1, count), np.float32), np.zeros((features, 1, count), np.float32)
    for index, feature in enumerate(fitted.features):
        size = feature.edges.size - 1
        low[index, 0, :size], inverse[index, 0, :size] = feature.edges[:-1], 1 / np.diff(feature.edges)
    width = 4 * (features + len(fitted.categories)) + len(fitted.flagged)
    shapes = {
        "numeric_weight": (features, count, 4),
        "numeric_bias": (features, 1, 4),
        "table": (fitted.table_size, 4),
        "scaling": (3, 1, width),
        "weights.0": (width, 8),
        "biases.0": (8,),
        "head_weight": (3, 8, outputs),
        "head_bias": (3, 1, outputs),
    }
    made = {name: generator.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    return made | {"low": low, "inverse": inverse}


def members(fitted: columns.Columns, weights: dict[str, Any], frame: pl.DataFrame) -> Any:
    """[members, N, outputs]"""
    encoded = columns.encode(fitted, frame)
    places = np.clip((encoded.numeric.T[:, :, None] - weights["low"]) * weights["inverse"], 0, 1)
    embedded = np.maximum(places @ weights["numeric_weight"] + weights["numeric_bias"], 0)
    parts = [embedded.transpose(1, 0, 2).reshape(frame.height, -1), encoded.missing]
    parts.append(weights["table"][encoded.codes].reshape(frame.height, -1))
    state = np.concatenate(parts, axis=1) * weights["scaling"]
    state = np.maximum(state @ weights["weights.0"] + weights["biases.0"], 0)
    return state @ weights["head_weight"] + weights["head_bias"]


def ask(model: Any, fitted: columns.Columns, frame: pl.DataFrame) -> list[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answers: list[Any] = session.run(None, {name: columns.raw(frame[name]) for name in fitted.types})
    return answers


@pytest.mark.parametrize("classes", [["no", "yes", "Ørsted"], [1, 5], [False, True]])
def test_the_graph_answers_as_the_arithmetic_does(classes: list[Any]) -> None:
    fitted = columns.fit(rows(), 16)
    weights = weights_of(fitted, len(classes))
    model = export.build(fitted, weights, classes, (0.0, 1.0))
    fresh = rows(1)  # other missing values, and names that are unseen
    logits = members(fitted, weights, fresh)
    chances = np.exp(logits - logits.max(2, keepdims=True))
    expected = (chances / chances.sum(2, keepdims=True)).mean(0)
    prediction, probabilities = ask(model, fitted, fresh)
    assert np.abs(probabilities - expected).max() < 1e-5
    assert prediction.tolist() == [classes[index] for index in probabilities.argmax(1)]
    assert ask(model, fitted, fresh.head(0))[1].shape == (0, len(classes))
    assert [node.name for node in model.graph.input] == fresh.columns
    assert json.loads(model.metadata_props[0].value) == classes


def test_a_graph_of_a_regression_keeps_large_numbers() -> None:
    fitted = columns.fit(rows(), 16)
    weights = weights_of(fitted, 1)
    model = export.build(fitted, weights, None, (1.7e9, 1000.0))
    (prediction,) = ask(model, fitted, rows(1))
    expected = members(fitted, weights, rows(1)).mean(0)[:, 0].astype(float) * 1000.0 + 1.7e9
    assert prediction.dtype == np.float64
    assert np.abs(prediction - expected).max() < 0.01


def test_a_graph_of_strings_alone_and_of_numbers_alone() -> None:
    for names in (["job"], ["age", "gain"], ["score"]):
        frame = rows().select(names)
        fitted = columns.fit(frame, 16)
        model = export.build(fitted, weights_of(fitted, 2), ["a", "b"], (0.0, 1.0))
        _, probabilities = ask(model, fitted, frame)
        assert np.allclose(probabilities.sum(1), 1)
