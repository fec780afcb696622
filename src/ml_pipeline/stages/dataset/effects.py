"""How far apart two distributions are: sizes of an effect, which do not shrink as rows grow."""

import math
from typing import Any

import numpy as np

FLOOR = 1e-4  # what an empty bin counts as in the stability index, which a zero would make infinite


def wasserstein(values: Any, upto: Any, y: Any) -> float:
    """Return ∫|F⁻¹(u) - G⁻¹(u)|du, the mean distance that values must move.

    F has upto[k] - upto[k-1] rows at values[k] (both ascending [K]); G has a row at each of the
    sorted y [M]. All finite.
    """
    n, m = int(upto[-1]), len(y)
    if n == m == len(values):
        apart = values - y
        return float(np.abs(apart, out=apart).mean())
    middle = y[m // 2]  # sums of small numbers lose less
    values, y = values - middle, y - middle
    u0, u1 = np.concatenate([[0], upto[:-1]]) / n, upto / n
    sums = np.concatenate([[0.0], np.cumsum(y)]) / m

    def integral(u: Any) -> Any:
        """∫G⁻¹ from 0 to u."""
        whole = np.minimum((u * m).astype(np.int64), m - 1)
        return sums[whole] + y[whole] * (u - whole / m)

    # In its part of [0, 1], G⁻¹ is below values[k] up to c and above it from there.
    c = np.clip(np.searchsorted(y, values, "right") / m, u0, u1)
    below = values * (c - u0) - (integral(c) - integral(u0))
    above = (integral(u1) - integral(c)) - values * (u1 - c)
    return max(0.0, float((below + above).sum()))


def stability(reference: Any, current: Any) -> float:
    """Return the population stability index of two rows of counts [bins]."""
    p, q = _shares(reference), _shares(current)
    p, q = np.maximum(p, FLOOR), np.maximum(q, FLOOR)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: Any, current: Any) -> float:
    """Return the Jensen-Shannon distance, 0 (equal) to 1 (nothing shared), of two rows of counts [bins]."""
    p, q = _shares(reference), _shares(current)
    return math.sqrt(max(0.0, (_divergence(p, (p + q) / 2) + _divergence(q, (p + q) / 2)) / 2))


def _divergence(p: Any, q: Any) -> float:
    there = p > 0
    return float((p[there] * np.log2(p[there] / q[there])).sum())


def _shares(counts: Any) -> Any:
    return np.asarray(counts, dtype=np.float64) / np.sum(counts)
