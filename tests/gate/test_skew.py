"""The batch command's answers and the server's, compared."""

import math
from typing import Any

import numpy as np
import pytest

from ml_pipeline.gate import skew
from ml_pipeline.gate.answers import Task
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.probe import Probe

pytestmark = pytest.mark.program

BINARY = Task(["no", "yes"], 1)


def answered(predictions: list[Any], probabilities: list[Any] | None = None) -> Probe:
    return Probe(predictions, probabilities, {}, {})


def test_skew_of_labels_and_of_probabilities() -> None:
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.50001, 0.49999]], dtype=np.float32)
    batch = Answers(np.array([0, 1, 0]), shares)
    same = skew.compare(batch, [0, 1, 2], answered(["no", "yes", "no"], shares.tolist()), BINARY)
    assert (same["differing"], same["first"]) == (0, [])
    tie = skew.compare(batch, [0, 1, 2], answered(["no", "yes", "yes"], shares.tolist()), BINARY)
    assert tie["differing"] == 0
    label = skew.compare(batch, [0, 1, 2], answered(["yes", "yes", "no"], shares.tolist()), BINARY)
    assert label["first"] == [0]
    moved = skew.compare(batch, [1], answered(["yes"], [[0.3, 0.7]]), BINARY)
    assert (moved["differing"], moved["first"]) == (1, [1])
    assert moved["max_difference"] == pytest.approx(0.1)
    without = skew.compare(Answers(batch.predicted), [0, 1], answered(["no", "no"]), BINARY)
    assert skew.failure(without)[0].endswith("disagree on 1 of 2 rows (first: holdout row 1)")


def test_skew_of_numbers() -> None:
    batch = Answers(np.array([1.0, 2.0, math.nan]))
    found = skew.compare(batch, [0, 1, 2], answered([1.00001, 2.1, math.nan]), Task(None))
    assert found["first"] == [1]
