"""Effects and tests of two samples against scipy's."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, wasserstein_distance

from ml_pipeline.data.recording import whole
from ml_pipeline.distributions import differences, effects, record, sorting

pytestmark = pytest.mark.program

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


def numeric(values: Any) -> record.Column:
    column = whole(pl.LazyFrame({"x": pl.Series(values)}), "x", "number")
    assert column is not None
    return column


def text(values: list[str | None]) -> record.Column:
    column = whole(pl.LazyFrame({"x": pl.Series(values, dtype=pl.String)}), "x", "string")
    assert column is not None
    return column


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, width=32), max_size=60))
def test_both_ways_of_sorting_sort(values: list[float]) -> None:
    column = sorting.by_bits(np.array(values, dtype=np.float64))
    assert column.tolist() == sorted(values)
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
