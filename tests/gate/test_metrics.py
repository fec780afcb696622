"""Metrics, groups, batches and the skew check, against answers known otherwise."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_pipeline.common.metrics.table import names
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.gate import answers as scoring
from ml_pipeline.gate import batches, cold_start, curves, groups, metrics, size, skew
from ml_pipeline.gate.answers import Task
from ml_pipeline.gate.groups import Grouping
from ml_pipeline.gate.labels import class_indices
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.probe import Probe

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


def test_groups_as_fairlearn_measures_them() -> None:
    # The figures are fairlearn 0.13.0's (MetricFrame) on the same rows.
    random = np.random.default_rng(7)
    truth, predicted = random.integers(0, 2, 400), random.integers(0, 2, 400)
    members = random.choice(["a", "b", "c"], 400, p=[0.5, 0.3, 0.2])
    found = groups.classification(Grouping("s", "sensitive", members), truth, predicted, 1)
    rates = [
        [group.metrics[f"{name}_rate"] for group in found]
        for name in ("selection", "true_positive", "false_positive")
    ]
    assert rates == [
        pytest.approx([0.5265700483, 0.5403225806, 0.4057971014]),
        pytest.approx([0.5210084034, 0.5254237288, 0.4285714286]),
        pytest.approx([0.5340909091, 0.5538461538, 0.3823529412]),
    ]


def test_of_few_rows_nothing_is_claimed() -> None:
    members = np.array(["big"] * 100 + ["small"] * 29)
    truth = np.array([1] * 29 + [0] * 71 + [1] * 29)
    found = groups.classification(Grouping("s", "sensitive", members), truth, np.ones(129, dtype=int), 1)
    big, small = (group.metrics for group in found)
    assert big["selection_rate"] == 1
    assert big["true_positive_rate"] is None  # of 29 rows
    assert set(small.values()) == {None}
    assert big["accuracy"] == pytest.approx(0.29)
    assert found[0].intervals["accuracy"] == pytest.approx([0.208, 0.384], abs=0.002)
    assert found[1].intervals == {}
    assert len(groups.classification(Grouping("s", "slice", members), truth, truth, 1, min_rows=29)) == 2


def test_members_of_text_few_and_many_numbers() -> None:
    def members(values: list[Any]) -> Any:
        return groups.members(pl.Series(values))

    assert members(["a", None, "b"]).tolist() == ["a", "(missing)", "b"]
    assert members([1, 2, None]).tolist() == ["1", "2", "(missing)"]
    assert members([0.5, math.nan]).tolist() == ["0.5", "(missing)"]
    assert members([True, False]).tolist() == ["True", "False"]
    assert members([None, None]).tolist() == ["(missing)", "(missing)"]
    cut = members([*range(101), None])
    assert sorted(set(cut.tolist())) == ["(missing)", "0 to 25", "25 to 50", "50 to 75", "75 to 100"]
    assert (cut[0], cut[25], cut[100], cut[101]) == ("0 to 25", "25 to 50", "75 to 100", "(missing)")


def test_groups_that_cross() -> None:
    crossing = groups.crossed(np.array(["a", "b"]), np.array(["long", "x"]))
    assert [name.split(groups.CROSSING) for name in crossing.tolist()] == [["a", "long"], ["b", "x"]]


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


COLUMNS = [
    {"name": name, "type": kind}
    for name, kind in {
        "file": "integer",
        "b": "integer",
        "c": "string",
        "d": "boolean",
        "e": "datetime",
    }.items()
]


def test_batches_in_both_forms(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "file": [1, 2],
            "b": [3, None],
            "c": pl.Series(["ä", None], dtype=pl.Categorical),
            "d": [True, None],
            "e": [datetime(2024, 1, 1, 0, 0, 0, 500_000), None],
            "target": ["x", "y"],
        }
    )
    arrays = batches.features(frame, COLUMNS)
    path = tmp_path / "holdout.npz"
    batches.write_npz(path, arrays)
    back = batches.read_npz(path)
    assert list(back) == ["file", "b", "c", "d", "e"]
    assert {name: array.dtype.kind for name, array in back.items()} == {
        "file": "i",
        "b": "f",
        "c": "U",
        "d": "f",
        "e": "f",
    }
    seconds = datetime(2024, 1, 1, tzinfo=UTC).timestamp() + 0.5
    rows = batches.instances(back, COLUMNS, [0, 1])
    assert rows[0] == {"file": 1, "b": 3, "c": "ä", "d": True, "e": seconds}
    assert rows[1] == {"file": 2, "b": None, "c": None, "d": None, "e": None}
    assert '"b": 3, ' in json.dumps(rows)  # not 3.0
    complete = batches.features(frame.drop_nulls(), COLUMNS)
    assert {name: complete[name].dtype.kind for name in "bcd"} == {"b": "i", "c": "U", "d": "b"}


def test_a_time_with_a_zone_and_a_date_are_seconds_in_utc() -> None:
    zoned = pl.Series("e", [datetime(2024, 1, 1, tzinfo=UTC)]).dt.convert_time_zone("Asia/Tokyo")
    dated = pl.Series("e", [datetime(2024, 1, 1)]).cast(pl.Date)
    for series in (zoned, dated):
        arrays = batches.features(series.to_frame(), [{"name": "e", "type": "datetime"}])
        assert arrays["e"].tolist() == [1704067200.0]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"name": "zz", "type": "string"}, "the holdout lacks column 'zz', which the model reads"),
        ({"name": "c", "type": "integer"}, "column 'c' of the holdout is not all integer"),
    ],
)
def test_a_holdout_that_does_not_fit_the_model(column: dict[str, str], message: str) -> None:
    with pytest.raises(StageFailure, match=message):
        batches.features(pl.DataFrame({"c": ["a"]}), [column])


@pytest.mark.parametrize(("rows", "size", "wanted"), [(3, 200, [0, 1, 2]), (11, 3, [0, 5, 10]), (1, 5, [0])])
def test_sample(rows: int, size: int, wanted: list[int]) -> None:
    assert batches.sample(rows, size) == wanted


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
