"""Fairness against fairlearn: its documented examples, and the library itself on the same rows."""

from pathlib import Path

import fairlearn.metrics as oracle
import numpy as np
import polars as pl
import pytest
from sklearn.tree import DecisionTreeClassifier

from ml_pipeline.gate import fairness, groups
from ml_pipeline.gate.groups import Grouping
from ml_pipeline.gate.uncertainty import intervals

pytestmark = pytest.mark.program

DIFFERENCES = {
    "demographic_parity_difference": oracle.demographic_parity_difference,
    "demographic_parity_ratio": oracle.demographic_parity_ratio,
    "equalized_odds_difference": oracle.equalized_odds_difference,
    "equalized_odds_ratio": oracle.equalized_odds_ratio,
}


def test_the_documented_example_of_18_rows() -> None:
    truth = np.array([0, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    answer = np.array([0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0])
    members = np.array(list("bbabbcccaacabccbcc"))
    (points,) = fairness.measure("s", members, truth, [answer], min_rows=1).points
    assert points == pytest.approx(
        {
            "demographic_parity_difference": 0.25,
            "demographic_parity_ratio": 2 / 3,
            "equalized_odds_difference": 1.0,
            "equalized_odds_ratio": 0.0,
        }
    )


def test_fairlearns_quickstart_on_adult() -> None:
    frame = pl.read_parquet(Path(__file__).parents[2] / "examples/adult/adult.parquet")
    truth = (frame["income"] == ">50K").to_numpy().astype(int)
    features = frame.drop("income").to_dummies(pl.selectors.string())
    features = features.select(name for name in features.columns if not name.endswith("_null"))
    tree = DecisionTreeClassifier(min_samples_leaf=10, max_depth=4, random_state=0)
    answer = tree.fit(features.to_numpy(), truth).predict(features.to_numpy())
    grouping = Grouping("gender", "sensitive", groups.members(frame["gender"]))
    found = {group.name: group.metrics for group in groups.classification(grouping, truth, answer, 1)}

    def printed(value: float | None) -> str:  # the quickstart cuts what it prints: 0.8443...
        return str(value)[:6]

    assert printed(np.mean(answer == truth)) == "0.8443"
    assert {name: printed(of["accuracy"]) for name, of in found.items()} == {
        "Female": "0.9251",
        "Male": "0.8042",
    }
    assert printed(answer.mean()) == "0.1638"
    assert {name: printed(of["selection_rate"]) for name, of in found.items()} == {
        "Female": "0.0635",
        "Male": "0.2135",
    }


@pytest.mark.parametrize("seed", range(20))
def test_equal_to_fairlearn(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, answer = random.integers(0, 2, 300), random.integers(0, 2, 300)
    members = random.choice(["a", "b", "c", "d"], 300, p=[0.4, 0.3, 0.2, 0.1])
    (points,) = fairness.measure("s", members, truth, [answer], min_rows=1).points
    for name, measure in DIFFERENCES.items():
        assert points[name] == pytest.approx(measure(truth, answer, sensitive_features=members)), name


def test_an_interval_covers_the_difference_of_two_populations() -> None:
    hits = []
    for seed in range(300):
        random = np.random.default_rng(seed)
        members = random.choice(["a", "b", "c"], 800, p=[0.5, 0.3, 0.2])
        answer = random.random(800) < np.select([members == "a", members == "b"], [0.5, 0.4], 0.3)
        truth = random.integers(0, 2, 800)
        found = fairness.measure(
            "s", members, truth, [answer.astype(int)], min_rows=30, rounds=300, seed=seed
        )
        spread = intervals.spreads(found.points[0], found.rounds[0])["demographic_parity_difference"]
        ends = spread(0.95)
        assert ends is not None
        hits.append(ends[0] <= 0.2 <= ends[1])
    assert 0.93 <= np.mean(hits) <= 0.99


def test_both_images_are_resampled_together() -> None:
    random = np.random.default_rng(1)
    members, truth = random.choice(["a", "b"], 500), random.integers(0, 2, 500)
    answer = random.integers(0, 2, 500)
    same = fairness.measure("s", members, truth, [answer, answer], min_rows=30)
    name = "equalized_odds_difference"
    assert (same.rounds[0][name] == same.rounds[1][name]).all()
    worse = np.where(members == "a", 1, answer)
    apart = fairness.measure("s", members, truth, [worse, answer], min_rows=30)
    assert (apart.rounds[0][name] - apart.rounds[1][name]).min() > 0


def test_a_group_of_few_rows_takes_no_part() -> None:
    members = np.array(["a"] * 100 + ["b"] * 100 + ["c"] * 10)
    truth = np.arange(210) % 2
    answer = np.where(members == "c", 1, truth)
    (points,) = fairness.measure("s", members, truth, [answer], min_rows=30).points
    assert points["demographic_parity_difference"] == 0
    alone = fairness.measure("s", members[:110], truth[:110], [answer[:110]], min_rows=200)
    assert alone.points == [{}]
    assert fairness.worst([alone], "equalized_odds_ratio") is None


def test_where_no_group_is_selected_all_are_equal() -> None:
    members, truth = np.array(["a", "b"] * 50), np.arange(100) % 2
    (points,) = fairness.measure("s", members, truth, [np.zeros(100, dtype=int)], min_rows=10).points
    assert points["demographic_parity_ratio"] == 1
