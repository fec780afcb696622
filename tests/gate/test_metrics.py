"""Metrics, groups, batches and the skew check, against answers known otherwise."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_pipeline.common.metrics.table import names
from ml_pipeline.gate import cold_start, curves, metrics, size
from ml_pipeline.gate.answers import Task
from ml_pipeline.gate.labels import class_indices
from ml_pipeline.gate.metrics import Answers

pytestmark = pytest.mark.program

BINARY = Task(["no", "yes"], 1)


def test_binary_metrics_of_a_table_counted_by_hand() -> None:
    # 3 true positives, 1 false positive, 2 false negatives, 4 true negatives
    truth = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])
    predicted = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    shares = np.where(predicted == 1, 0.8, 0.3)
    scores = metrics.classification(truth, Answers(predicted, np.column_stack([1 - shares, shares])), 2, 1)
    wanted = {
        "accuracy": 7 / 10,
        "balanced_accuracy": (3 / 5 + 4 / 5) / 2,
        "precision": 3 / 4,
        "recall": 3 / 5,
        "f1": 2 / 3,
        "f1_macro": (2 / 3 + 8 / 11) / 2,
        "f1_weighted": (2 / 3 * 5 + 8 / 11 * 5) / 10,
        "mcc": (3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6),
        "roc_auc": 0.7,  # one threshold: the mean of the true rates
        "average_precision": 3 / 5 * 3 / 4 + 2 / 5 * 5 / 10,
        "log_loss": -(3 * math.log(0.8) + math.log(0.2) + 2 * math.log(0.3) + 4 * math.log(0.7)) / 10,
        "brier": (3 * 0.04 + 0.64 + 2 * 0.49 + 4 * 0.09) / 10,
        "expected_calibration_error": (4 * abs(0.8 - 3 / 4) + 6 * abs(0.3 - 2 / 6)) / 10,
    }
    assert scores.values == pytest.approx(wanted)
    assert scores.missing == dict.fromkeys(metrics.REGRESSION, "a classifier has no such metric")
    assert curves.confusion(truth, predicted, 2) == [[4, 1], [2, 3]]


def test_several_classes_are_averaged() -> None:
    truth, predicted = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 2, 0])
    scores = metrics.classification(truth, Answers(predicted, np.eye(3)[predicted]), 3, None)
    assert scores.values["precision"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert scores.values["recall"] == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert scores.values["f1"] == scores.values["f1_macro"]
    assert set(scores.values) == {*metrics.LABELS, *metrics.FROM_PROBABILITIES}


@pytest.mark.parametrize(
    ("probabilities", "reason"),
    [
        (None, "the model returns no probabilities"),
        (np.ones((2, 3)) / 3, "the probabilities have shape [2, 3] for 2 classes"),
        (np.ones((2, 2)), "the probabilities of a row do not add up to 1"),
        (np.array([[math.nan, 1], [0, 1]]), "the probabilities of a row do not add up to 1"),
    ],
)
def test_without_good_probabilities_their_metrics_are_not_measured(probabilities: Any, reason: str) -> None:
    scores = metrics.classification(np.array([0, 1]), Answers(np.array([0, 1]), probabilities), 2, 1)
    assert {scores.missing[name] for name in metrics.FROM_PROBABILITIES} == {reason}
    assert scores.values["accuracy"] == 1


def test_a_holdout_of_one_class_has_no_curves() -> None:
    answers = Answers(np.array([0, 0]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    scores = metrics.classification(np.array([0, 0]), answers, 2, 1)
    assert scores.missing["roc_auc"] == "the holdout lacks one of the classes"
    assert scores.values["log_loss"] == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)


def test_regression_metrics() -> None:
    scores = metrics.regression(np.array([1.0, 2.0, 4.0]), Answers(np.array([1.0, 3.0, 3.0])))
    wanted = {"rmse": math.sqrt(2 / 3), "mae": 2 / 3, "r2": 1 - 2 / (14 / 3), "mape": (1 / 2 + 1 / 4) / 3}
    wanted |= {"absolute_error_p50": 1, "absolute_error_p90": 1, "absolute_error_p99": 1}
    assert scores.values == pytest.approx(wanted)
    assert scores.missing["accuracy"] == "a regression has no such metric"


def test_regression_without_answers_or_variation() -> None:
    broken = metrics.regression(np.array([1.0, 2.0]), Answers(np.array([1.0, math.nan])))
    assert broken.values == {}
    assert broken.missing["rmse"] == "some predictions are not finite numbers"
    flat = metrics.regression(np.array([0.0, 0.0]), Answers(np.array([1.0, 1.0])))
    assert set(flat.values) == {"rmse", "mae", *metrics.QUANTILES}


def test_what_is_measured_of_an_image_itself_is_in_the_table(tmp_path: Path) -> None:
    assert {cold_start.METRIC, *size.measure(tmp_path, tmp_path, (2, 1))} <= set(names("performance"))


@pytest.mark.parametrize(
    ("labels", "classes", "wanted"),
    [
        (["b", "a", "c"], ["a", "b"], [1, 0, -1]),
        ([1, 0, 2], ["0", "1"], [1, 0, -1]),
        ([1.0, 0.0], [0, 1], [1, 0]),
        ([True, False], [False, True], [1, 0]),
        ([True, False], ["False", "True"], [1, 0]),
        ([True, False], [0, 1], [1, 0]),
        ([1, 0], [False, True], [1, 0]),
        (["true", "false"], [False, True], [1, 0]),
    ],
)
def test_a_class_is_found_in_any_spelling(labels: list[Any], classes: list[Any], wanted: list[int]) -> None:
    assert class_indices(labels, classes).tolist() == wanted


def test_curves_and_calibration() -> None:
    observed, scores = np.array([False, True] * 1000), np.linspace(0, 1, 2000)
    curve = curves.roc(observed, scores)
    assert len(curve) <= curves.CURVE_POINTS
    assert (curve[0], curve[-1]) == ((0.0, 0.0), (1.0, 1.0))
    curve = curves.precision_recall(observed, scores)
    assert len(curve) <= curves.CURVE_POINTS
    assert (curve[0], curve[-1]) == ((0.0, 1.0), (1.0, 0.5))
    bins = curves.calibration(observed, scores)
    assert sum(b["rows"] for b in bins) == 2000
    assert bins[3]["predicted"] == pytest.approx(0.35, abs=0.001)
    assert bins[3]["observed"] == pytest.approx(0.5, abs=0.01)
