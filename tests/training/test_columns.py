"""The built-in trainer's parts that need no torch: options, target, columns."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training.tabular import columns, options, target
from tests.training.tabular_rows import rows

pytestmark = pytest.mark.program

# Options


def test_options_have_defaults_and_read_config() -> None:
    assert options.read({}) == options.Options()
    assert options.read({"epochs": 3.0, "dropout": 0}).epochs == 3


@pytest.mark.parametrize(
    ("config", "cause", "hint"),
    [
        ({"epoch": 3}, "train.config has no option 'epoch'", "did you mean 'epochs' or 'depth'?"),
        ({"epochs": 0}, "train.config.epochs is 0", "use a whole number between 1 and 10000"),
        ({"epochs": 2.5}, "train.config.epochs is 2.5", "use a whole number between 1 and 10000"),
        ({"dropout": "much"}, "train.config.dropout is 'much'", "use a number between 0 and 0.9"),
        ({"class_weight": 1}, "train.config.class_weight is 1", "use one of none, balanced"),
        ({"width": True}, "train.config.width is True", "use a whole number between 1 and 4096"),
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


@pytest.mark.parametrize(("count", "expected"), [(10, 2), (1_280, 20), (40_000, 48)])
def test_bins_follow_the_rows(count: int, expected: int) -> None:
    assert options.bins(count, options.Options()) == expected
    assert options.bins(count, options.Options(bins=7)) == 7


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
    learned = target.read(pl.Series("y", values), "classification")
    assert learned.classes == classes
    assert [classes[index] for index in learned.values] == values
    assert [type(value) for value in learned.classes or []] == [type(value) for value in classes]


@pytest.mark.parametrize(
    ("values", "task", "cause"),
    [
        ([1, 2], "classification", "there are only 2 training rows"),
        ([1, None] * 10, "classification", "the target 'y' is missing in 10 training rows"),
        (["a"] * 20, "classification", "the target 'y' has only one class, 'a'"),
        (
            [date(2026, 1, 1)] * 20,
            "classification",
            "the target 'y' has type datetime, which can't be a class",
        ),
        ([str(row) for row in range(200)], "classification", "the target 'y' has 200 classes in 200 rows"),
        (["a", "b"] * 10, "regression", "the target 'y' has type string, which is not numeric"),
        ([2.5] * 20, "regression", "the target 'y' has only one value, 2.5"),
        ([1.0, float("inf")] * 10, "regression", "the target 'y' is infinite or NaN in some rows"),
    ],
)
def test_targets_that_can_not_be_learned(values: list[Any], task: str, cause: str) -> None:
    with pytest.raises(StageFailure) as failed:
        target.read(pl.Series("y", values), task)
    assert failed.value.cause == cause


def test_a_regression_is_scaled() -> None:
    learned = target.read(pl.Series("y", [1.0, 3.0] * 10), "regression")
    assert (learned.classes, learned.mean, learned.deviation) == (None, 2.0, 1.0)
    assert learned.values.tolist() == [-1.0, 1.0] * 10


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
    assert failed.value.cause == "column 'list' has type List(Int64), which the trainer can't use"


def test_columns_that_carry_nothing() -> None:
    with pytest.raises(StageFailure, match="there is nothing to learn from"):
        columns.fit(rows().select("name", "same", "empty"), 8)
