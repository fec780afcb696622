"""Intervals of latencies: two images that are the same are not told apart, whatever the machine does."""

import numpy as np
import pytest

from ml_pipeline.gate import latency
from ml_pipeline.gate.arrays import Floats

pytestmark = pytest.mark.program


def busy(random: np.random.Generator, requests: int, images: int = 2) -> list[Floats]:
    """Latencies of images that are asked in turn, on a machine that is slow for some seconds."""
    slow = np.repeat(1 + random.exponential(0.5, requests // 50 + 1), 50)[:requests]
    return [5 * slow * random.lognormal(0, 0.3, requests) for _ in range(images)]


@pytest.mark.parametrize("percent", [50, 95, 99])
def test_twins_rarely_differ(percent: int) -> None:
    random, failed, apart = np.random.default_rng(0), 0, 0
    for _ in range(100):
        one, other = busy(random, 500)
        interval = latency.difference(one, other, percent)
        assert interval
        low, _ = interval(0.995) or (1.0, 1.0)
        failed += low > 0
        apart += abs(np.percentile(one, percent) / np.percentile(other, percent) - 1) > 0.05
    assert failed <= 1
    assert percent == 50 or apart > 20  # by their values alone


def test_an_image_that_is_slower_is_shown_to_be() -> None:
    one, other = busy(np.random.default_rng(1), 500)
    interval = latency.difference(1.5 * one, other, 95)
    assert interval
    low, high = interval(0.95) or (0.0, 0.0)
    assert 0 < low < high
    alone = latency.interval(one, 95)
    assert alone
    low, high = alone(0.95) or (0.0, 0.0)
    assert low < np.percentile(one, 95) < high


def test_a_high_percentile_needs_many_requests() -> None:
    one, other = busy(np.random.default_rng(2), 499)
    assert latency.interval(one, 99) is None
    assert latency.difference(one, other, 99) is None
    assert latency.interval(one[:99], 50) is None
    assert [latency.needed(percent) for percent in (50, 95, 99)] == [100, 100, 500]
