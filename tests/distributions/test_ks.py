"""The Kolmogorov-Smirnov test against scipy's, which takes its time."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, kstwo

from ml_pipeline.distributions import ks, ks_probability

pytestmark = pytest.mark.program

few = st.sampled_from([-math.inf, -3.5, -1.0, 0.0, 0.25, 1.0, 2.0, 1e300, math.inf])
any_number = st.floats(allow_nan=False)
samples = st.one_of(st.lists(few, min_size=1, max_size=60), st.lists(any_number, min_size=1, max_size=60))


def oracle(x: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own choice of method
        return ks_2samp(x, y)


@settings(max_examples=300, deadline=None)
@given(samples, samples)
def test_statistic_and_probability_are_scipys(x: list[float], y: list[float]) -> None:
    d = ks.statistic(np.sort(np.array(x)), np.sort(np.array(y)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        expected = ks_2samp(x, y)
    assert d == pytest.approx(expected.statistic, abs=1e-12)
    p = ks_probability.two_sample(d, len(x), len(y))
    if any("Switching to method=asymp" in str(warning.message) for warning in said):
        assert p == pytest.approx(1)  # scipy's sum was rounded to above 1, and it takes it for a failure
    else:
        assert p == pytest.approx(expected.pvalue, abs=1e-6)


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.3, 50.0])
@pytest.mark.parametrize("decimals", [0, 2, 15])
@pytest.mark.parametrize(
    "sizes", [(40_000, 40_000), (12_345, 50_001), (20_000, 7), (150, 30_000), (1, 20_000)]
)
def test_large_samples_with_and_without_ties(sizes: tuple[int, int], decimals: int, shift: float) -> None:
    random = np.random.default_rng(len(str(sizes)) + decimals)
    x = np.sort(random.normal(size=sizes[0]).round(decimals))
    y = np.sort((random.normal(size=sizes[1]) + shift).round(decimals))
    d, expected = ks.statistic(x, y), oracle(x, y)
    assert d == pytest.approx(expected.statistic, abs=1e-12)
    assert ks_probability.two_sample(d, *sizes) == pytest.approx(expected.pvalue, abs=1e-6)


def test_whole_numbers_beyond_a_floats_precision_stay_apart() -> None:
    x = np.arange(2**60, 2**60 + 1000)
    assert ks.statistic(x, x + 1) == pytest.approx(1 / 1000)


def test_scipys_own_case() -> None:
    x, y = np.linspace(1, 100, 100), np.linspace(1, 100, 110) + 20.1
    d = ks.statistic(x, y)
    assert d == pytest.approx(232 / 1100, abs=1e-15)
    assert ks_probability.two_sample(d, 100, 110) == pytest.approx(0.015739183865607353, abs=1e-13)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 139, 140, 141, 300, 499, 501, 1999, 2001, 50_000])
def test_one_samples_law_is_scipys_everywhere(n: int) -> None:
    for z in np.linspace(0.03, 7, 60 if n < 10_000 else 15):
        d = float(z / math.sqrt(n))
        expected = float(kstwo.sf(d, n)) if d <= 1 else 0.0
        assert ks_probability.one_sample(d, n) == pytest.approx(expected, abs=1e-6), z


@pytest.mark.parametrize(("n", "m"), [(10_000, 10_000), (10_000, 9_999), (9_000, 3), (6_000, 8_000)])
def test_counting_paths_is_exact_up_to_the_limit(n: int, m: int) -> None:
    x, y = np.arange(n) / n, np.arange(m) / m
    for shift in (0.0, 0.01, 0.03, 0.2):
        expected = oracle(x, y + shift)
        assert ks_probability.two_sample(expected.statistic, n, m) == pytest.approx(expected.pvalue, abs=1e-6)
