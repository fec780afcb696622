"""Fairness against fairlearn: its documented examples, and the library itself on the same rows."""

from pathlib import Path

import fairlearn.metrics as oracle
import numpy as np
import polars as pl
import pytest
from sklearn.tree import DecisionTreeClassifier

from ml_pipeline.common.gates import Gate
from ml_pipeline.common.rules import decide
from ml_pipeline.gate import fairness, groups
from ml_pipeline.gate.groups import Grouping
from ml_pipeline.gate.sensitive_columns import Columns

pytestmark = pytest.mark.program

HOLDOUTS = 100
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


@pytest.mark.parametrize(("groups", "rows", "apart"), [(2, 150, 0.0), (20, 50, 0.0), (5, 100, 0.2)])
def test_an_interval_covers_the_difference_of_groups_alike_and_apart(
    groups: int, rows: int, apart: float
) -> None:
    # Resampled differences of 20 equal groups cover in 2 % of holdouts: the largest is never near 0.
    rates = 0.3 + apart * np.linspace(-0.5, 0.5, groups)
    members = np.repeat(np.arange(groups), rows)
    true = {"difference": np.ptp(rates), "ratio": rates.min() / rates.max()}
    hits: dict[str, int] = dict.fromkeys(DIFFERENCES, 0)
    for seed in range(HOLDOUTS):
        random = np.random.default_rng(seed)
        answer = (random.random(len(members)) < rates[members]).astype(int)
        truth = random.integers(0, 2, len(members))
        found = fairness.measure("s", members.astype(str), truth, [answer], min_rows=10)
        for name in hits:
            low, high = found.interval(name, 0.95)
            assert low <= found.points[0][name] <= high
            hits[name] += low - 1e-12 <= true[name.rpartition("_")[2]] <= high + 1e-12
    assert {name: count for name, count in hits.items() if count < 0.91 * HOLDOUTS} == {}


def test_what_groups_that_are_alike_would_show() -> None:
    members, truth = np.repeat(np.arange(20), 50).astype(str), np.arange(1000) % 2
    answer = (np.random.default_rng(0).random(1000) < 0.3).astype(int)
    found = fairness.measure("s", members, truth, [answer], min_rows=30)
    assert found.expected("demographic_parity_difference") == pytest.approx(0.24, abs=0.02)


def test_a_loss_in_one_column_is_not_hidden_by_another() -> None:
    random = np.random.default_rng(3)
    sex, race = random.choice(["f", "m"], 4000), random.choice(["x", "y"], 4000)
    truth = random.integers(0, 2, 4000)
    before = (random.random(4000) < np.where(race == "x", 0.6, 0.4)).astype(int)
    # The candidate is fairer by race, and unfair by sex.
    now = (
        random.random(4000) < np.where(race == "x", 0.58, 0.42) + np.where(sex == "m", 0.08, -0.08)
    ).astype(int)
    columns = tuple(
        fairness.measure(name, members, truth, [now, before], min_rows=30)
        for name, members in (("race", race), ("sex", sex))
    )
    name = "demographic_parity_difference"
    measured = Columns(name, columns).measured()
    for gate in (Gate(name, max_regression=0.05), Gate(name, max_regression=0.05, confidence=0.95)):
        (decision,) = decide([gate], {name: measured})
        assert decision.status == "failed"
        assert "worse than the baseline on sex" in decision.reason


def test_equal_images_rarely_differ_in_fairness() -> None:
    members, failed = np.repeat(np.arange(5), 100).astype(str), 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        truth, shared = random.integers(0, 2, 500), random.random(500)
        answers = [
            (np.where(random.random(500) < 0.1, random.random(500), shared) < 0.3).astype(int)
            for _ in range(2)
        ]
        found = fairness.measure("s", members, truth, answers, min_rows=30, rounds=300)
        name = "demographic_parity_difference"
        (decision,) = decide(
            [Gate(name, max_regression=0, confidence=0.95)], {name: Columns(name, (found,)).measured()}
        )
        failed += decision.status == "failed"
    assert failed <= 1


def test_both_images_are_resampled_together() -> None:
    random = np.random.default_rng(1)
    members, truth = random.choice(["a", "b"], 500), random.integers(0, 2, 500)
    answer = random.integers(0, 2, 500)
    same = fairness.measure("s", members, truth, [answer, answer], min_rows=30)
    name = "equalized_odds_difference"
    assert np.corrcoef(same.rounds[0][name], same.rounds[1][name])[0, 1] > 0.9
    low, high = Columns(name, (same,)).differences(0.95) or (0, 0)
    assert low < 0 < high  # labels that agree on these rows may differ on others
    assert Columns(name, (same,), same=True).differences(0.95) == (0, 0)
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
    assert alone.left_out == {"a": 100, "b": 10}


def test_where_no_group_is_selected_all_are_equal() -> None:
    members, truth = np.array(["a", "b"] * 50), np.arange(100) % 2
    (points,) = fairness.measure("s", members, truth, [np.zeros(100, dtype=int)], min_rows=10).points
    assert points["demographic_parity_ratio"] == 1
