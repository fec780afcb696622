"""The two-sample Kolmogorov-Smirnov statistic, exact, at little more than the cost of sorting."""

import numpy as np

from ml_pipeline.distributions.effects import Integers, Numeric

FIRST, LATER = 1024, 8  # values of each sample that cut an interval


def statistic(x: Numeric, y: Numeric) -> float:
    """Return D = max |F(t) - G(t)| over all t, for sorted x [N] and y [M] of one type, without NaN.

    Both distribution functions only grow. So inside an interval between two values their
    difference has a bound that takes four ranks to know, and only an interval whose bound is above
    the largest difference found so far needs a look inside: of large samples, very few.
    """
    n, m = len(x), len(y)
    best, values = 0.0, FIRST
    # Open intervals, a row each, by the ranks of what they hold: x[a:b] and y[c:d].
    a, b, c, d = (np.array([[rank]]) for rank in (0, n, 0, m))
    while len(a):
        cuts = _cuts(x, y, a, b, c, d, values)
        x_below, x_upto = np.searchsorted(x, cuts, "left"), np.searchsorted(x, cuts, "right")
        y_below, y_upto = np.searchsorted(y, cuts, "left"), np.searchsorted(y, cuts, "right")
        best = max(best, float(np.abs(x_upto / n - y_upto / m).max()))
        a, b = np.hstack([a, x_upto]).reshape(-1, 1), np.hstack([x_below, b]).reshape(-1, 1)
        c, d = np.hstack([c, y_upto]).reshape(-1, 1), np.hstack([y_below, d]).reshape(-1, 1)
        open_ = (np.maximum(b / n - c / m, d / m - a / n) > best)[:, 0]
        a, b, c, d = a[open_], b[open_], c[open_], d[open_]
        values = LATER
    return best


def _cuts(x: Numeric, y: Numeric, a: Integers, b: Integers, c: Integers, d: Integers, values: int) -> Numeric:
    """Return values of both samples inside each interval, sorted: [intervals, 2 * values].

    Evenly spaced by rank, the first and the last among them; a sample without any there lends
    its place to the other. (Both can't be: such an interval's bound is the difference at its begin.)
    """
    steps = np.linspace(0, 1, values)
    from_x = x[np.minimum(a + ((b - a - 1) * steps).astype(np.int64), len(x) - 1)]
    from_y = y[np.minimum(c + ((d - c - 1) * steps).astype(np.int64), len(y) - 1)]
    from_x, from_y = np.where(a < b, from_x, from_y), np.where(c < d, from_y, from_x)
    return np.sort(np.hstack([from_x, from_y]), axis=1)
