"""How far apart two distributions are: sizes of an effect, which do not shrink as rows grow."""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Numeric = npt.NDArray[np.float64 | np.int64]

FLOOR = 1e-4  # what an empty bin counts as in the stability index, which a zero would make infinite
BLOCK = 1 << 15  # values at a time: what is made on the way stays in a core's cache


def between(x: Floats, y: Floats) -> float:
    """Return the Wasserstein distance of two sorted samples, finite [N] and [M]: the mean of |F⁻¹ - G⁻¹|."""
    if len(x) < len(y):
        x, y = y, x
    n, m = len(x), len(y)
    total = 0.0
    for start in range(0, n, BLOCK):
        part = x[start : start + BLOCK]
        if n == m:
            apart = part - y[start : start + BLOCK]
            total += float(np.abs(apart, out=apart).sum())
            continue
        # Row i's share of [0, 1], (i to i + 1) / n, is in the share of row j of y, and the rest in the next.
        ranks = np.arange(start, start + len(part)) * m
        j = ranks // n
        rest = np.maximum(ranks + m - (j + 1) * n, 0) / m
        following = y[np.minimum(j + 1, m - 1)]
        total += float(((1 - rest) * np.abs(part - y[j]) + rest * np.abs(part - following)).sum())
    return total / n


def deviation(values: Numeric) -> float:
    """Return the standard deviation of finite values [N], 0 of none."""
    if not len(values):
        return 0.0
    mean, total = np.mean(values), 0.0
    for start in range(0, len(values), BLOCK):
        centred = values[start : start + BLOCK] - mean
        # Not np.dot: it would use the cores that other columns have.
        total += float(np.square(centred, out=centred).sum())
    return math.sqrt(total / len(values))


def wasserstein(values: Floats, upto: Integers, y: Floats) -> float:
    """Return ∫|F⁻¹(u) - G⁻¹(u)|du, the mean distance that values must move.

    F has upto[k] - upto[k-1] rows at values[k] (both ascending [K]); G has a row at each of the
    sorted y [M]. All finite.
    """
    n, m = int(upto[-1]), len(y)
    middle = y[m // 2]  # sums of small numbers lose less
    values, y = values - middle, y - middle
    u0, u1 = np.concatenate([[0], upto[:-1]]) / n, upto / n
    sums = np.concatenate([[0.0], np.cumsum(y)]) / m

    def integral(u: Floats) -> Floats:
        """∫G⁻¹ from 0 to u."""
        whole = np.minimum((u * m).astype(np.int64), m - 1)
        return sums[whole] + y[whole] * (u - whole / m)

    # In its part of [0, 1], G⁻¹ is below values[k] up to c and above it from there.
    c = np.clip(np.searchsorted(y, values, "right") / m, u0, u1)
    below = values * (c - u0) - (integral(c) - integral(u0))
    above = (integral(u1) - integral(c)) - values * (u1 - c)
    return max(0.0, float((below + above).sum()))


def stability(reference: Numeric, current: Numeric) -> float:
    """Return the population stability index of two rows of counts [bins]."""
    p, q = _shares(reference), _shares(current)
    p, q = np.maximum(p, FLOOR), np.maximum(q, FLOOR)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: Numeric, current: Numeric) -> float:
    """Return the Jensen-Shannon distance, 0 (equal) to 1 (nothing shared), of two rows of counts [bins]."""
    p, q = _shares(reference), _shares(current)
    return math.sqrt(max(0.0, (_divergence(p, (p + q) / 2) + _divergence(q, (p + q) / 2)) / 2))


def _divergence(p: Floats, q: Floats) -> float:
    there = p > 0
    return float((p[there] * np.log2(p[there] / q[there])).sum())


def _shares(counts: Numeric) -> Floats:
    return np.asarray(counts, dtype=np.float64) / np.sum(counts)
