"""What an image does with changed requests: a real server, and answers that a test makes up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import jensenshannon

from ml_pipeline.common.gates import Measured
from ml_pipeline.gate import behaviour, changed_requests, probe
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.probe import Probe
from ml_pipeline.gate.uncertainty import shares
from tests.odd_images import Answer
from tests.programs import COLUMNS, Start

pytestmark = pytest.mark.program

ROWS = [
    {"age": age, "job": job, "member": True, "seen": 0.0}
    for age in (20, 35, 38, 45, 70)
    for job in ("clerk", "smith", None)
]


def test_a_real_image(onnx_folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WARM_UP": 1, "REQUESTS": 1, "THROUGHPUT_SECONDS": 0.01}.items():
        monkeypatch.setattr(probe, name, value)
    url = f"http://127.0.0.1:{start(onnx_folder).port}"
    answered, _ = probe.measure(url, ROWS)
    found = changed_requests.measure(url, ROWS, answered, COLUMNS, ["job"], regression=False)
    # A job is worth a point of the score or takes one away, ten years of age are worth one.
    score = {row["age"]: (row["age"] - 40) / 10 + 0.5 + 1 for row in ROWS}
    flips = np.mean([(score[age] + 1 > 0) != (score[age] - 1 > 0) for age in score])
    assert found.values["sensitive_flip_rate"] == pytest.approx(flips)
    low, high = found.intervals["sensitive_flip_rate"](0.95) or (1, 0)
    assert low < flips < high
    assert set(found.intervals) == {"sensitive_flip_rate", "missing_value_flip_rate"}
    assert found.values["missing_value_refusals"] == 0
    assert 0 < found.values["missing_value_flip_rate"] < 0.5
    assert found.values["out_of_range_errors"] == 0
    none = changed_requests.measure(url, ROWS, answered, COLUMNS[:1], ["gender"], regression=True)
    assert none.missing == {
        "sensitive_flip_rate": "a regression has no such metric",
        "missing_value_flip_rate": "a regression has no such metric",
        "missing_value_refusals": "the model has no column that may be missing",
    }


NUMBERS = [
    {"name": "a", "type": "number", "nullable": True},
    {"name": "b", "type": "number", "nullable": True},
]


def to_instances(answer: Callable[[list[Any]], tuple[int, Any]]) -> Answer:
    """Answer to the instances of a request."""

    def to_request(_: str, body: bytes) -> tuple[int, str]:
        status, document = answer(json.loads(body)["instances"])
        return status, json.dumps(document)

    return to_request


def test_an_image_that_breaks(odd_image: Callable[[Answer], str]) -> None:
    def answer(rows: list[Any]) -> tuple[int, Any]:
        if any(row["a"] is None for row in rows):
            return 422, {}
        if any(row["a"] > 10 for row in rows):
            return 500, {}
        if any(row["a"] < -5 for row in rows):
            return 200, {"predictions": [float("nan") for _ in rows]}
        if any(row["b"] is not None and row["b"] > 10 for row in rows):
            return 200, {"predictions": []}
        return 200, {"predictions": [row["b"] for row in rows]}

    rows = [{"a": 0.0, "b": 1.0}, {"a": 1.0, "b": 2.0}]
    answered = Probe([1.0, 2.0], None, {}, {})
    found = changed_requests.measure(
        odd_image(to_instances(answer)), rows, answered, NUMBERS, [], regression=False
    )
    assert found.values == {
        "missing_value_refusals": 0.5,
        "missing_value_flip_rate": 1.0,
        "out_of_range_errors": 0.75,
    }
    assert found.missing == {"sensitive_flip_rate": "the model reads no sensitive column"}


def test_an_image_that_refuses_whatever_is_missing_or_far(
    odd_image: Callable[[Answer], str],
) -> None:
    def answer(rows: list[Any]) -> tuple[int, Any]:
        return 422, {}

    rows = [{"a": 0.0, "b": 1.0}]
    found = changed_requests.measure(
        odd_image(to_instances(answer)), rows, Probe([1.0], None, {}, {}), NUMBERS, [], regression=False
    )
    assert found.values == {"missing_value_refusals": 1.0, "out_of_range_errors": 0.0}
    assert found.missing["missing_value_flip_rate"] == "the image refuses every missing value"


def test_answers_of_one_class_and_agreement() -> None:
    one, other = Answers(np.array([1, 1, 1, 0])), Answers(np.array([1, 1, 0, 0]))
    found = behaviour.of_answers([one, other], 2)
    assert found.values == {
        "largest_class_share": 0.75, "baseline_agreement": 0.75, "prediction_drift": 0.0
    }  # fmt: skip
    many = [Answers(np.repeat(answers.predicted, 100)) for answers in (one, other)]
    distance = jensenshannon([3, 1], [2, 2], base=2)
    assert behaviour.of_answers(many, 2).values["prediction_drift"] == pytest.approx(distance)
    assert behaviour.of_answers([one], 2).missing == {
        "prediction_drift": "no reference to compare with",
        "baseline_agreement": "no baseline to compare with",
    }
    assert set(behaviour.of_answers([one], None).missing) == {
        "largest_class_share", "prediction_drift", "baseline_agreement"
    }  # fmt: skip


def test_recorded_requests_that_two_images_answer() -> None:
    shares = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
    other = np.array([[0.8, 0.2], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    images = [Answers(np.argmax(each, axis=1), each) for each in (shares, other)]
    found = behaviour.of_recorded(images, 2)
    assert found.values == {"shadow_agreement": 0.75, "shadow_difference": pytest.approx((0.1 + 0.2) / 4)}
    wanted = scipy.stats.binomtest(3, 4).proportion_ci(0.95, method="wilson")
    assert found.intervals["shadow_agreement"](0.95) == pytest.approx((wanted.low, wanted.high))
    assert found.where == "4 recorded requests"
    # A class that the signature lacks is no agreement, not even with itself.
    unknown = [Answers(np.array([-1, 0])), Answers(np.array([-1, 0]))]
    found = behaviour.of_recorded(unknown, 2)
    assert found.values == {"shadow_agreement": 0.5}
    assert behaviour.of_answers(unknown, 2).values["baseline_agreement"] == 0.5
    assert found.missing == {"shadow_difference": "the model returns no probabilities"}


def test_recorded_requests_of_a_regression() -> None:
    random = np.random.default_rng(0)
    one, other = random.normal(5, 1, 400), random.normal(5, 1, 400)
    found = behaviour.of_recorded([Answers(one), Answers(other)], None)
    apart = np.abs(one - other)
    assert found.values == {"shadow_difference": pytest.approx(apart.mean())}
    assert found.missing == {"shadow_agreement": "a regression has no such metric"}
    low, high = found.intervals["shadow_difference"](0.95) or (0, 0)
    assert low < apart.mean() < high
    few = behaviour.of_recorded([Answers(one[:4]), Answers(other[:4])], None)
    assert few.intervals["shadow_difference"](0.95) is None
    same = behaviour.of_recorded([Answers(one), Answers(one.copy())], None)
    assert same.intervals["shadow_difference"](0.95) == (0, 0)
    one[3] = np.nan
    assert behaviour.of_recorded([Answers(one), Answers(other)], None).values == {}


def test_the_difference_covers_where_few_requests_differ() -> None:
    # A normal interval covers in 26 to 64 % of samples.
    hits, rounds = 0, 200
    for seed in range(rounds):
        random = np.random.default_rng(seed)
        one = random.normal(size=400)
        other = one + np.where(random.random(400) < 0.03, random.gamma(1, 1, 400), 0)
        interval = behaviour.of_recorded([Answers(one), Answers(other)], None).intervals["shadow_difference"]
        low, high = interval(0.95) or (0, 1)
        hits += low <= 0.03 <= high
    assert hits >= 0.93 * rounds


def test_answers_that_are_distributed_alike_do_not_drift() -> None:
    # The distance alone is above 0.15 in every sample of 100 rows and 30 classes.
    random, fired = np.random.default_rng(0), 0
    for _ in range(100):
        images = [Answers(random.integers(0, 30, 100)) for _ in range(2)]
        fired += behaviour.of_answers(images, 30).values["prediction_drift"] > 0.15
    assert fired <= 10


def test_without_a_baseline_or_requests_nothing_is_compared() -> None:
    assert set(behaviour.of_recorded(None, 2).missing.values()) == {"no baseline to compare with"}
    assert set(behaviour.of_recorded([], 2).missing.values()) == {"[tool.ml-pipeline.data] has no requests"}


def test_drift_of_predicted_numbers_is_in_the_baselines_deviations() -> None:
    random = np.random.default_rng(0)
    before, now = random.normal(3, 2, 500), random.normal(4, 1, 500)
    found = behaviour.of_answers([Answers(now), Answers(before)], None).values
    assert found == {
        "prediction_drift": pytest.approx(scipy.stats.wasserstein_distance(before, now) / before.std())
    }
    now[7] = np.nan
    unknown = behaviour.of_answers([Answers(now), Answers(before)], None)
    assert unknown.values == {}, "what has no value is no drift of 0"
    assert unknown.missing["prediction_drift"] == "some predictions are not finite numbers"
    assert behaviour.of_answers([Answers(before), Answers(before)], None).values == {"prediction_drift": 0.0}


@pytest.mark.parametrize(
    ("reported", "scores", "regression", "wanted", "ends"),
    [
        ({"train_accuracy": 0.95}, {"accuracy": 0.85}, False, 0.1, (0.05, 0.15)),
        ({"train_rmse": 2.0}, {"rmse": 3.0}, True, 1.0, (0.95, 1.05)),
        ({}, {"accuracy": 0.85}, False, None, None),
    ],
)
def test_the_gap_between_training_and_holdout(
    reported: dict[str, float],
    scores: dict[str, float],
    regression: bool,
    wanted: float | None,
    ends: tuple[float, float] | None,
) -> None:
    held = {
        name: Measured(value, interval=lambda _, at=value: (at - 0.05, at + 0.05))  # type: ignore[misc]
        for name, value in scores.items()
    }
    found = behaviour.train_gap(reported, held, regression=regression)
    assert found.values.get("train_holdout_gap") == (wanted and pytest.approx(wanted))
    interval = found.intervals.get("train_holdout_gap")
    assert (interval and interval(0.95)) == (ends and pytest.approx(ends))
    assert bool(found.missing) is not bool(wanted)


def test_the_interval_of_a_share_is_wilson_s() -> None:
    for counted, rows in ((0, 200), (3, 200), (200, 200), (7, 10)):
        wanted = scipy.stats.binomtest(counted, rows).proportion_ci(0.95, method="wilson")
        assert shares.Share(counted / rows, rows)(0.95) == pytest.approx((wanted.low, wanted.high))


def test_with_many_columns_some_of_them_are_changed() -> None:
    columns: list[Any] = [{"name": f"c{place}", "type": "number", "nullable": True} for place in range(752)]
    rows: list[Any] = [dict.fromkeys((column["name"] for column in columns), 1.0)] * 200
    some = changed_requests._some(columns, rows)
    assert 5 < len(some) < 20
    assert (some[0]["name"], some[-1]["name"]) == ("c0", "c751")
    assert changed_requests._some(columns[:100], rows[:50]) == columns[:100]
