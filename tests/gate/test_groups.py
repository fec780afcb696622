"""Groups of rows: by which members, and how they cross."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_pipeline.gate import groups
from ml_pipeline.gate.groups import Grouping

pytestmark = pytest.mark.program


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
