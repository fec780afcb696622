"""The built-in trainer's parts that need no torch: options, target, columns, and the exported graph."""

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest

from ml_pipeline.stages.outcome import StageFailure
from ml_pipeline.stages.tabular import columns, export, options, target

N = 300


def rows(seed: int = 0) -> pl.DataFrame:
    """A column of each type, with missing values; and some that carry nothing."""
    generator = np.random.default_rng(seed)

    def holes(values: Any, share: float = 0.1) -> pl.Series:
        kept = generator.random(N) >= share
        return pl.Series([value if keep else None for value, keep in zip(values, kept, strict=True)])

    start = datetime(2024, 1, 1)
    hours = generator.integers(0, 20_000, N).tolist()
    return pl.DataFrame(
        {
            "age": generator.integers(17, 90, N),
            "gain": np.where(generator.random(N) < 0.9, 0.0, generator.lognormal(8, 2, N)),
            "score": holes(generator.normal(1e6, 2, N).tolist()),
            "member": holes((generator.random(N) < 0.3).tolist()),
            "seen": holes([start + timedelta(hours=hour) for hour in hours]),
            "job": holes(generator.choice(["clerk", "smith", "Ørsted"], N).tolist()),
            "name": [f"person {row}" for row in range(N)],
            "same": ["x"] * N,
            "empty": pl.Series([None] * N, dtype=pl.Float64),
        }
    )


# Options


def test_options_have_defaults_and_take_what_is_given() -> None:
    assert options.read({}) == options.Options()
    assert options.read({"epochs": 3.0, "dropout": 0}).epochs == 3


@pytest.mark.parametrize(
    ("config", "cause", "hint"),
    [
        ({"epoch": 3}, "train.config has no option 'epoch'", "did you mean 'epochs' or 'depth'?"),
        ({"epochs": 0}, "train.config.epochs is 0", "give a whole number between 1 and 10000"),
        ({"epochs": 2.5}, "train.config.epochs is 2.5", "give a whole number between 1 and 10000"),
        ({"dropout": "much"}, "train.config.dropout is 'much'", "give a number between 0 and 0.9"),
        ({"width": True}, "train.config.width is True", "give a whole number between 1 and 4096"),
    ],
)
def test_options_that_are_none(config: dict[str, Any], cause: str, hint: str) -> None:
    with pytest.raises(StageFailure) as failed:
        options.read(config)
    assert (failed.value.cause, failed.value.hint) == (cause, hint)


@pytest.mark.parametrize(
    ("count", "batch", "epochs"), [(10, 32, 60), (33_213, 512, 14), (10_000_000, 512, 10)]
)
def test_sizes_follow_the_rows(count: int, batch: int, epochs: int) -> None:
    assert options.sizes(count, options.Options()) == (batch, epochs)


# Target


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["b", "a"] * 10, ["a", "b"]),
        ([3, 1, 2] * 10, [1, 2, 3]),
        ([True, False] * 10, [False, True]),
        ([1.0, 0.0] * 10, [0, 1]),
    ],
)
def test_classes_are_sorted_values(values: list[Any], classes: list[Any]) -> None:
    found = target.read(pl.Series("y", values), "classification")
    assert found.classes == classes
    assert [classes[index] for index in found.values] == values
    assert [type(value) for value in found.classes or []] == [type(value) for value in classes]


@pytest.mark.parametrize(
    ("values", "task", "cause"),
    [
        ([1, 2], "classification", "2 training rows"),
        ([1, None] * 10, "classification", "the target 'y' is missing in 10 training rows"),
        (["a"] * 20, "classification", "the target 'y' has one class only, 'a'"),
        ([0.5, 1.0] * 10, "classification", "the target 'y' is of type number"),
        ([str(row) for row in range(200)], "classification", "the target 'y' has 200 classes in 200 rows"),
        (["a", "b"] * 10, "regression", "the target 'y' is of type string"),
        ([2.5] * 20, "regression", "the target 'y' has one value only, 2.5"),
        ([1.0, float("inf")] * 10, "regression", "the target 'y' is infinite or NaN in some rows"),
    ],
)
def test_targets_that_can_not_be_learned(values: list[Any], task: str, cause: str) -> None:
    with pytest.raises(StageFailure) as failed:
        target.read(pl.Series("y", values), task)
    assert failed.value.cause == cause


def test_a_regression_is_scaled() -> None:
    found = target.read(pl.Series("y", [1.0, 3.0] * 10), "regression")
    assert (found.classes, found.mean, found.deviation) == (None, 2.0, 1.0)
    assert found.values.tolist() == [-1.0, 1.0] * 10


def test_validation_rows_are_stratified_and_seeded() -> None:
    classes = np.array([0] * 900 + [1] * 99 + [2])
    mask = target.validation_rows(classes, 0.15, 3)
    assert np.array_equal(mask, target.validation_rows(classes, 0.15, 3))
    assert not np.array_equal(mask, target.validation_rows(classes, 0.15, 4))
    assert mask.sum() in {149, 150, 151}
    assert mask[classes == 1].sum() in {14, 15, 16}
    assert not mask[classes == 2].any()  # a class with one row is learned, not judged


# Columns


def test_columns_are_fitted() -> None:
    fitted = columns.fit(rows(), 48)
    assert fitted.unused == ("name", "same", "empty")
    assert fitted.flagged == ("score", "member", "seen")
    assert [feature.column for feature in fitted.features] == [
        "age",
        "gain",
        "score",
        "member",
        *["seen"] * 4,
    ]
    (job,) = fitted.categories
    assert job.values == ("", "clerk", "smith", "Ørsted")
    for feature in fitted.features:
        assert 1 < feature.edges.size <= 49
        assert (np.diff(feature.edges) > 0).all()


def test_rare_values_get_bins_beside_one_that_most_rows_share() -> None:
    gain = columns.fit(rows(), 16).features[1]
    assert gain.edges.size > 10


def test_encoding_of_missing_unseen_and_infinite_values() -> None:
    fitted = columns.fit(rows(), 48)
    odd = (
        rows()
        .head(3)
        .with_columns(
            age=pl.Series([None, float("inf"), 1e308]),
            job=pl.Series([None, "astronaut", "clerk"]),
            member=pl.Series([None, True, False]),
        )
    )
    encoded = columns.encode(fitted, odd)
    assert encoded.numeric[0, 0] == 0
    assert (encoded.numeric[1:, 0] >= 1e29).all()
    assert np.isfinite(encoded.numeric).all()
    assert encoded.missing[:, 1].tolist() == [1, 0, 0]
    assert encoded.codes[:, 0].tolist() == [1, 0, 2]


def test_a_column_of_a_type_that_no_model_takes() -> None:
    with pytest.raises(StageFailure) as failed:
        columns.fit(pl.DataFrame({"list": [[1, 2]] * 10}), 8)
    assert failed.value.cause == "column 'list' is of type List(Int64), which the trainer can't use"


def test_columns_that_carry_nothing() -> None:
    with pytest.raises(StageFailure, match="no column carries anything to learn from"):
        columns.fit(rows().select("name", "same", "empty"), 8)


# The exported graph, against the same arithmetic in NumPy


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
    wanted = (chances / chances.sum(2, keepdims=True)).mean(0)
    prediction, probabilities = ask(model, fitted, fresh)
    assert np.abs(probabilities - wanted).max() < 1e-5
    assert prediction.tolist() == [classes[index] for index in probabilities.argmax(1)]
    assert ask(model, fitted, fresh.head(0))[1].shape == (0, len(classes))
    assert [node.name for node in model.graph.input] == fresh.columns
    assert json.loads(model.metadata_props[0].value) == classes


def test_a_graph_of_a_regression_keeps_large_numbers() -> None:
    fitted = columns.fit(rows(), 16)
    weights = weights_of(fitted, 1)
    model = export.build(fitted, weights, None, (1.7e9, 1000.0))
    (prediction,) = ask(model, fitted, rows(1))
    wanted = members(fitted, weights, rows(1)).mean(0)[:, 0].astype(float) * 1000.0 + 1.7e9
    assert prediction.dtype == np.float64
    assert np.abs(prediction - wanted).max() < 0.01


def test_a_graph_of_strings_alone_and_of_numbers_alone() -> None:
    for names in (["job"], ["age", "gain"], ["score"]):
        frame = rows().select(names)
        fitted = columns.fit(frame, 16)
        model = export.build(fitted, weights_of(fitted, 2), ["a", "b"], (0.0, 1.0))
        _, probabilities = ask(model, fitted, frame)
        assert np.allclose(probabilities.sum(1), 1)


def test_a_column_named_as_an_output() -> None:
    frame = rows().select(pl.col("age").alias("prediction"))
    with pytest.raises(StageFailure, match="a column is named 'prediction', as an output of the model"):
        export.build(columns.fit(frame, 8), {}, ["a", "b"], (0.0, 1.0))
