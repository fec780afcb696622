"""Targets and answers that can't be judged."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.gate import answers as scoring
from ml_pipeline.gate.answers import Task

pytestmark = pytest.mark.program

BINARY = Task(["no", "yes"], 1)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (["yes", None], "1 of 2 holdout rows have no 'y'"),
        (["yes", "perhaps"], "the holdout has class 'perhaps' of 'y', which the model does not know"),
    ],
)
def test_a_target_that_can_not_be_judged(target: list[Any], message: str) -> None:
    with pytest.raises(StageFailure, match=message):
        scoring.truth_of(pl.DataFrame({"y": target}), "y", BINARY)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "the baseline's answers lack `predictions`"),
        ({"predictions": np.array(["yes"])}, "the baseline answered 1 of 2 holdout rows"),
        ({"predictions": np.array([[1, 2], [3, 4]])}, "the baseline's predictions have 2 columns"),
        (
            {"predictions": np.array(["ja", "nein"])},
            "the baseline answers 'ja', which is not one of the model's",
        ),
        (
            {"predictions": np.array(["yes", "no"]), "probabilities": np.array([[0.9, 0.1], [0.2, 0.8]])},
            "the baseline's labels are hardly ever its most probable class",
        ),
    ],
)
def test_answers_that_can_not_be_judged(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(StageFailure, match=message):
        scoring.answers_of(arrays, 2, BINARY, "baseline")


def test_a_regression_that_answers_words() -> None:
    with pytest.raises(StageFailure, match="predicted 'yes' instead of a number"):
        scoring.answers_of({"predictions": np.array(["yes"])}, 1, Task(None))


def test_the_positive_class_is_one_of_the_models() -> None:
    settings = {"task": "classification", "positive": "maybe"}
    with pytest.raises(StageFailure, match=r"positive = 'maybe' is not one of the model's classes"):
        scoring.task_of(settings, {"classes": ["no", "yes"], "positive": None})
    assert scoring.task_of(settings, {"classes": ["a", "b", "c"], "positive": None}).positive is None
    assert scoring.task_of({"task": "classification"}, {"classes": [0, 1], "positive": 1}).positive == 1
