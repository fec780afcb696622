"""Intervals: equal to plain resampling with scikit-learn, and right as often as they say."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics as sk

from ml_pipeline.common import rules
from ml_pipeline.common.gates import Difference, Gate, Interval, Measured
from ml_pipeline.gate import metrics
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.uncertainty import bootstrap, intervals, ranks, resampling
from ml_pipeline.gate.uncertainty.calibration import Calibration
from ml_pipeline.gate.uncertainty.ranks import Ranking

pytestmark = pytest.mark.program

HOLDOUTS = 500
ROWS = 500
ROUNDS = 500


def people(rows: int, seed: int, classes: int = 2) -> tuple[Any, list[Answers]]:
    """A truth and two images' answers: both guess from the same noisy signal, each with noise of its own."""
    random = np.random.default_rng(seed)
    signal = random.normal(size=(rows, classes))
    truth = (signal + random.gumbel(size=signal.shape)).argmax(axis=1)

    def image() -> Answers:
        scores = 1.5 * (signal + 0.3 * random.normal(size=signal.shape))
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        return Answers(shares.argmax(axis=1), shares)

    return truth, [image(), image()]


def test_the_same_rounds_by_scikit_learn_one_by_one() -> None:
    truth, (image, _) = people(200, 0)
    (found,) = bootstrap.classification(truth, [image], 2, 1, rounds=20)
    score = image.probabilities[:, 1]
    (drawn,) = resampling.counts(200, 20)
    assert drawn.sum(axis=1).tolist() == [200] * 20
    for number, weights in enumerate(drawn):
        options = {"sample_weight": weights}
        expected = {
            "roc_auc": sk.roc_auc_score(truth, score, **options),
            "average_precision": sk.average_precision_score(truth, score, **options),
            "log_loss": sk.log_loss(truth, image.probabilities, **options),
            "brier": sk.brier_score_loss(truth, score, **options),
        }
        assert {name: found[name][number] for name in expected} == pytest.approx(expected)


def test_ties_and_several_classes() -> None:
    truth, (image, _) = people(300, 1, classes=3)
    rounded = metrics.normalised(np.round(image.probabilities, 1) + 1e-3)
    (found,) = bootstrap.classification(truth, [Answers(image.predicted, rounded)], 3, None, rounds=5)
    (drawn,) = resampling.counts(300, 5)
    one_hot, shares = np.eye(3)[truth], metrics.normalised(rounded)
    for number, weights in enumerate(drawn):
        for name, score in (("roc_auc", sk.roc_auc_score), ("average_precision", sk.average_precision_score)):
            wanted = score(one_hot, shares, average="macro", sample_weight=weights)
            assert found[name][number] == pytest.approx(wanted)


def test_many_rows_are_resampled_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, images = people(6000, 4)
    monkeypatch.setattr(bootstrap, "EXACT_ROWS", 10**9)
    exact = bootstrap.classification(truth, images, 2, 1)
    monkeypatch.setattr(bootstrap, "EXACT_ROWS", 0)
    monkeypatch.setattr(resampling, "BLOCK", 4096)  # two blocks, one of them partly filled
    by_influence = bootstrap.classification(truth, images, 2, 1)
    for name in exact[0]:
        for one, other in (
            (exact[0][name], by_influence[0][name]),
            (exact[0][name] - exact[1][name], by_influence[0][name] - by_influence[1][name]),
        ):
            assert one.std() == pytest.approx(other.std(), rel=0.1)
            assert one.mean() == pytest.approx(other.mean(), abs=0.25 * one.std())


def test_influences_are_the_derivatives() -> None:
    random = np.random.default_rng(5)
    positive, scores = random.random(60) < 0.4, np.round(random.random(60), 1)
    ranking = Ranking.of(positive, scores)
    one = np.ones((1, 60))
    for which, influence in enumerate(ranks.area_influences(ranking)):
        assert influence.mean() == pytest.approx(0, abs=1e-12)
        for row in range(60):
            nudged = one.copy()
            nudged[0, row] += 1e-6
            slope = (ranks.areas(ranking, nudged)[which] - ranks.areas(ranking, one)[which]) / 1e-6
            assert slope[0] * 60 == pytest.approx(influence[row], abs=1e-4)


@dataclass
class Simulated:
    """What 500 holdouts said of two images that are equally good: is the truth in, and what a gate says."""

    values: dict[str, list[bool]]
    differences: dict[str, list[bool]]
    failed: dict[str, int]


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    truth, images = people(1_000_000, 99)
    scored = metrics.classification(truth, images[0], 2, 1)
    found = Simulated({}, {}, {})
    for number in range(HOLDOUTS):
        truth, images = people(ROWS, number)
        rounds = bootstrap.classification(truth, images, 2, 1, rounds=ROUNDS, seed=number)
        for name in set(rounds[0]) - intervals.PUSHED:
            value, before = (float(image[name].mean()) for image in rounds)
            spread = intervals.spreads({name: value}, rounds[0])[name]
            difference = intervals.difference(name, value - before, rounds[0][name], rounds[1][name])
            found.values.setdefault(name, []).append(_covers(spread, scored.values[name]))
            found.differences.setdefault(name, []).append(_covers(difference, 0))
            compared = Measured(value, before, spread, Difference(value - before, difference))
            (decision,) = rules.decide([Gate(name, max_regression=0, confidence=0.95)], {name: compared})
            found.failed[name] = found.failed.get(name, 0) + (decision.status == "failed")
    return found


def _covers(interval: Interval, value: float) -> bool:
    ends = interval(0.95)
    assert ends is not None
    return ends[0] <= value <= ends[1]


@pytest.mark.timeout(300)
def test_an_interval_of_95_percent_covers_as_often(simulated: Simulated) -> None:
    shares = {name: float(np.mean(hits)) for name, hits in simulated.values.items()}
    apart = {name: float(np.mean(hits)) for name, hits in simulated.differences.items()}
    assert {name: share for name, share in shares.items() if not 0.92 <= share <= 0.975} == {}
    assert {name: share for name, share in apart.items() if not 0.92 <= share <= 0.975} == {}


@pytest.mark.timeout(300)
def test_a_candidate_as_good_as_the_baseline_is_rarely_failed(simulated: Simulated) -> None:
    assert {name: count for name, count in simulated.failed.items() if count > HOLDOUTS / 100} == {}


@pytest.mark.parametrize("sharpness", [1.0, 2.0])
def test_the_interval_of_a_calibration_error_covers_too(sharpness: float) -> None:
    # The measured error is above the true one: resampled ones cover in 47 to 89 % of holdouts.
    def measured(rows: int, seed: int) -> Calibration:
        random = np.random.default_rng(seed)
        score = 1.5 * random.normal(size=rows)
        share = 1 / (1 + np.exp(-sharpness * score))
        truth = (random.random(rows) < 1 / (1 + np.exp(-score))).astype(np.int64)
        return Calibration.of(truth, np.column_stack([1 - share, share]), 1)

    true = measured(1_000_000, 99).value
    hits = 0
    for seed in range(60):
        found = measured(300, seed)
        low, high = found(0.95)
        assert 0 <= low <= found.value <= high <= 1
        hits += low <= true + 0.001 <= high + 0.002  # the bins of a million rows are not without noise
    assert hits >= 52


def test_a_perfect_image_has_no_interval_where_ranks_decide() -> None:
    truth = np.arange(100) % 2
    image = Answers(truth.copy(), np.eye(2)[truth])
    (rounds,) = bootstrap.classification(truth, [image], 2, 1)
    found = intervals.spreads(metrics.classification(truth, image, 2, 1).values, rounds)
    assert "roc_auc" not in found


def test_equal_answers_differ_by_nothing() -> None:
    truth, (image, _) = people(100, 6)
    one, other = bootstrap.classification(truth, [image, image], 2, 1)
    assert all((one[name] == other[name]).all() for name in one)


def test_what_few_rows_can_not_say() -> None:
    truth, (image, _) = people(80, 7)
    rare = np.where(np.cumsum(truth) <= 5, truth, 0)
    (found,) = bootstrap.classification(rare, [image], 2, 1)
    assert "roc_auc" not in found
    assert "log_loss" in found


def test_brier_of_two_classes_is_around_its_value_without_a_positive_class_too() -> None:
    random = np.random.default_rng(3)
    truth, share = random.integers(0, 2, 500), random.random(500)
    answers = Answers((share > 0.5).astype(np.int64), np.column_stack([1 - share, share]))
    (rounds,) = bootstrap.classification(truth, [answers], 2, None, rounds=50)
    value = metrics.classification(truth, answers, 2, None).values["brier"]
    assert rounds["brier"].mean() == pytest.approx(value, rel=0.05)


def test_the_point_is_inside_and_the_range_is_kept() -> None:
    rounds = np.linspace(0.99, 1.002, 500)
    (spread,) = intervals.spreads({"average_precision": 0.98}, {"average_precision": rounds}).values()
    low, high = spread(0.95) or (math.nan, math.nan)
    assert (low, high) == (0.98, 1.0)


@pytest.mark.parametrize("confidence", [0.99, 0.999])
def test_an_end_far_out_is_more_than_the_last_round(confidence: float) -> None:
    # 300 sets of 1,000 rounds of a standard normal distribution: the ends of each, and their mean deviation.
    random = np.random.default_rng(0)
    ends = np.array([intervals.Spread(0.0, random.normal(size=1000))(confidence) for _ in range(300)])
    wanted = scipy.stats.norm.ppf(0.5 + confidence / 2)
    assert np.abs(ends[:, 1]).mean() == pytest.approx(wanted, rel=0.01)
    assert ends[:, 1].std() < 0.15  # the percentiles themselves: 0.13 and 0.28
