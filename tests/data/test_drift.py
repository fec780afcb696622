"""Drift between two tables: effects against scipy's, decisions, and the record that stands in for rows."""

import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, false_discovery_control, wasserstein_distance

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data import drift
from ml_pipeline.data.recording import whole
from ml_pipeline.distributions import differences, effects, record, sorting

pytestmark = pytest.mark.program

LIMITS = {"alpha": 0.05, "threshold": 0.1, "effect": None}
numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


def numeric(values: Any) -> record.Column:
    found = whole(pl.LazyFrame({"x": pl.Series(values)}), "x", "number")
    assert found is not None
    return found


def text(values: list[str | None]) -> record.Column:
    found = whole(pl.LazyFrame({"x": pl.Series(values, dtype=pl.String)}), "x", "string")
    assert found is not None
    return found


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, width=32), max_size=60))
def test_both_ways_of_sorting_sort(values: list[float]) -> None:
    found = sorting.by_bits(np.array(values, dtype=np.float64))
    assert found.tolist() == sorted(values)
    assert sorting.ascending(pl.Series(values, dtype=pl.Float32)).tolist() == sorted(
        np.array(values, dtype=np.float32).tolist()
    )


@settings(max_examples=200, deadline=None)
@given(numbers, numbers)
def test_wasserstein_is_scipys_from_rows_and_from_counts(x: list[float], y: list[float]) -> None:
    expected = pytest.approx(wasserstein_distance(x, y), rel=1e-9, abs=1e-6)
    ordered, current = np.sort(x), np.sort(y)
    assert effects.between(ordered, current) == expected
    assert effects.between(current, ordered) == expected
    values, counts = np.unique(ordered, return_counts=True)
    assert effects.wasserstein(values, np.cumsum(counts), current) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12))
def test_category_figures_are_scipys(cells: list[tuple[int, int]]) -> None:
    before, now = np.array(cells).T + 5  # no cell is rare
    expected = chi2_contingency([before, now], correction=False)
    pooled = (before + now) * min(before.sum(), now.sum()) / (before.sum() + now.sum()) < 5
    statistic, p = differences.chi2(before, now)
    if not pooled.any():
        assert (statistic, p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9, abs=1e-12)
    assert effects.jensen_shannon(before, now) == pytest.approx(jensenshannon(before, now, base=2), abs=1e-7)


def test_stability_index_by_hand() -> None:
    assert effects.stability([50, 50], [75, 25]) == pytest.approx(0.25 * math.log(1.5) - 0.25 * math.log(0.5))
    assert effects.stability([10, 0], [10, 0]) == 0
    assert math.isfinite(effects.stability([10, 0], [0, 10]))


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_correction_is_benjamini_and_hochbergs(ps: list[float]) -> None:
    assert drift.adjusted(ps) == pytest.approx(false_discovery_control(ps).tolist())


def judged(before: dict[str, Any], now: dict[str, Any], **own: Any) -> dict[str, dict[str, Any]]:
    frames = [pl.LazyFrame(table, strict=False) for table in (before, now)]

    def reader(frame: pl.LazyFrame) -> drift.Read:
        kinds = {n: "string" if t == pl.String else "number" for n, t in frame.collect_schema().items()}
        return lambda name: whole(frame, name, kinds[name])

    found = drift.differences(list(before), reader(frames[0]), reader(frames[1]), 100)
    return {
        entry["name"]: entry
        for entry in drift.judge(found, LIMITS, {n: {"drift": d} for n, d in own.items()})
    }


def test_a_shift_must_be_significant_and_large() -> None:
    random = np.random.default_rng(0)
    many = random.normal(size=200_000)
    few = np.where(np.arange(len(many)) < 20, many, np.nan)
    found = judged(
        {"moved": many, "hardly": many, "few": pl.Series(few).fill_nan(None), "same": many},
        {
            "moved": many + 0.2,
            "hardly": many + 0.02,
            "few": pl.Series(few + 0.3).fill_nan(None),
            "same": many,
        },
    )
    assert {name: entry["drifted"] for name, entry in found.items()} == {
        "moved": True, "hardly": False, "few": False, "same": False
    }  # fmt: skip
    assert found["hardly"]["p_adjusted"] < 1e-4
    assert found["hardly"]["size"] == pytest.approx(0.02, rel=0.01)
    assert found["few"]["size"] > 0.1
    assert next(iter(found)) == "moved", "the furthest moved comes first"


def test_a_column_has_limits_of_its_own() -> None:
    x = np.arange(10_000) / 10_000
    moved = {"a": x + 0.1, "b": x + 0.1}
    found = judged({"a": x, "b": x}, moved, b={"threshold": 0.5}, a={"effect": "psi", "threshold": 0.05})
    assert (found["a"]["effect"], found["a"]["drifted"], found["b"]["drifted"]) == ("psi", True, False)


def test_an_effect_that_a_column_can_not_have_is_named() -> None:
    words = {"x": ["a", "b"] * 50}
    with pytest.raises(StageFailure, match=r"column 'x' has drift\.effect = 'wasserstein', which is for num"):
        judged(words, words, x={"effect": "wasserstein"})


def test_more_missing_values_are_drift() -> None:
    x = [float(i % 97) for i in range(5_000)]
    found = judged({"x": x}, {"x": [None if i % 4 == 0 else v for i, v in enumerate(x)]})
    assert (found["x"]["drifted"], found["x"]["because"]) == (True, ["missing"])


def test_new_categories_are_named() -> None:
    found = judged({"x": ["a"] * 60 + ["b"] * 40}, {"x": ["a"] * 60 + ["c"] * 40})
    assert (found["x"]["drifted"], found["x"]["new"]) == (True, ["c"])


@pytest.mark.parametrize(
    ("before", "now", "drifted"),
    [
        ([], [], False),
        ([None, None], [1.0, 2.0], False),  # nothing to compare, too few rows to miss
        ([1.0], [2.0], False),
        ([5.0] * 500, [5.0] * 500, False),
        ([5.0] * 500, [6.0] * 500, True),
        ([0.0] * 500, [1.0] * 500, True),
        ([math.inf] * 500, [math.inf] * 400, False),
        ([1.0, -math.inf] * 500, [1.0, -math.inf] * 400, False),
        ([math.nan, 1.0, 2.0] * 99, [math.nan, 1.0, 2.0] * 99, False),
        ([1e300, -1e300] * 500, [1e300, -1e300] * 500, False),
    ],
)
def test_odd_columns_have_a_defined_answer(before: list[Any], now: list[Any], drifted: bool) -> None:
    frames = [pl.LazyFrame({"x": pl.Series(v, dtype=pl.Float64)}).fill_nan(None) for v in (before, now)]
    found = drift.differences(
        ["x"], *(lambda name, f=f: whole(f, name, "number") for f in frames), rows=1
    )  # fmt: skip
    (entry,) = drift.judge(found, LIMITS, {})
    assert entry["drifted"] is drifted
    json.dumps(entry, allow_nan=False)
