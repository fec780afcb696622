"""One column against its reference: a test that says whether it has moved, effects that say how far."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from ml_pipeline.distributions import bins, effects, ks, ks_probability
from ml_pipeline.distributions.effects import Floats, Integers, Numeric
from ml_pipeline.distributions.record import Categories, Column, Numbers, Ranks

SHOWN_BINS, SHOWN_CATEGORIES = 24, 12
EXPECTED = 5  # rows that a category must have by expectation for its own cell: Cochran's rule


class Shown(TypedDict, total=False):
    """What a picture draws: shares of both sides by bin or by category. It may be empty."""

    edges: list[float]  # one more than there are bins
    categories: list[str]
    reference: list[float]
    current: list[float]


@dataclass(frozen=True)
class Difference:
    """One column against its reference: a test, the sizes of the effect, and what a picture needs."""

    test: str
    statistic: float | None  # None: one side has no values to test
    p: float | None
    effects: dict[str, float]
    missing: dict[str, float]  # shares: reference, current; and p, of their difference
    shown: Shown
    error: float = 0.0  # by how much D may be too small, where a record stands in for the rows
    new: tuple[str, ...] = ()  # categories that the reference does not have


def compare(reference: Column, current: Column) -> Difference:
    """Compare two columns of one type; `current` is whole, `reference` may be from a record."""
    if isinstance(reference, Categories) and isinstance(current, Categories):
        return _categories(reference, current)
    if isinstance(reference, Numbers) and isinstance(current, Numbers):
        return _numbers(reference, current)
    raise TypeError(f"{reference.type} can't be compared with {current.type}")


def _numbers(reference: Numbers, current: Numbers) -> Difference:
    n, m = reference.rows, current.rows
    missing = _missing(reference, current)
    if not n or not m:
        return Difference("ks", None, None, _effects(missing), missing, {})
    if reference.ranks is None:
        d = ks.statistic(*_one_type(reference.values, current.values))
    else:  # exact at the record's own values
        d = float(np.abs(reference.ranks.upto / n - current.rank(reference.values) / m).max())
    edges = bins.edges(reference)
    binned = bins.counts(reference, edges), bins.counts(current, edges)
    sizes = _effects(missing) | {
        "wasserstein": _distance(reference, current),
        "psi": effects.stability(*binned),
        "jensen_shannon": effects.jensen_shannon(*binned),
    }
    p = ks_probability.two_sample(d, n, m)
    return Difference("ks", d, p, sizes, missing, _histogram(reference, current), reference.error)


def _one_type(x: Numeric, y: Numeric) -> tuple[Numeric, Numeric]:
    return (x, y) if x.dtype == y.dtype else (x.astype(np.float64), y.astype(np.float64))


def _distance(reference: Numbers, current: Numbers) -> float:
    """Wasserstein distance of the finite values, in the reference's standard deviations.

    A constant reference lends the current rows' deviation, and two constants their own size.
    """
    before, now = reference.finite(), current.finite()
    if not before.rows or not now.rows:
        return 0.0
    scale = reference.deviation() or current.deviation() or abs(float(before.values[0])) or 1.0
    ends = [abs(float(column.values[end])) for column in (before, now) for end in (0, -1)]
    unit = scale if max(ends) > 1e150 else 1.0  # sums of such numbers would be too large
    if before.ranks is None:
        return effects.between(_over(before.values, unit), _over(now.values, unit)) * unit / scale
    values, upto = _filled(before.values.astype(np.float64), before.ranks)
    return effects.wasserstein(_over(values, unit), upto, _over(now.values, unit)) * unit / scale


def _over(values: Numeric, unit: float) -> Floats:
    numbers = values.astype(np.float64, copy=False)
    return numbers if unit == 1.0 else numbers / unit


def _filled(values: Floats, ranks: Ranks) -> tuple[Floats, Integers]:
    """Return values with the count of rows up to each; rows between two values of a record stand halfway."""
    halfway = values / 2 + np.concatenate([values[:1], values[:-1]]) / 2
    filled, upto = np.stack([halfway, values], axis=1).ravel(), np.stack([ranks.below, ranks.upto], axis=1)
    return filled, upto.ravel()


def _histogram(reference: Numbers, current: Numbers) -> Shown:
    """Count in bins of equal width over the middle of both; the outer bins have the values outside too."""
    finite = [column.finite() for column in (reference, current)]
    middle = np.array([0.005, 0.995])
    ends = [float(value) for column in finite if column.rows for value in column.at(middle)]
    if not ends:
        return {}
    low, high = min(ends), max(ends)
    if not math.isfinite(high - low):
        return {}
    edges = np.linspace(low, high, SHOWN_BINS + 1) if high > low else np.array([low, low + 1])
    before, now = (_rounded(bins.counts(column, edges[1:-1])) for column in (reference, current))
    return {"edges": edges.tolist(), "reference": before, "current": now}


def _rounded(counts: Integers) -> list[float]:
    return [float(share) for share in (counts / counts.sum()).round(6)]


def _categories(reference: Categories, current: Categories) -> Difference:
    missing = _missing(reference, current)
    if not reference.rows or not current.rows:
        return Difference("chi2", None, None, _effects(missing), missing, {})
    named = list(dict.fromkeys([*reference.counts, *([] if reference.other else current.counts)]))
    before = np.array([reference.counts.get(name, 0) for name in named] + [reference.other])
    counts_now = [current.counts.get(name, 0) for name in named]
    now = np.array([*counts_now, current.rows - sum(counts_now)])
    sizes = _effects(missing) | {
        "psi": effects.stability(before, now),
        "jensen_shannon": effects.jensen_shannon(before, now),
    }
    statistic, p = chi2(before, now)
    new = () if reference.other else tuple(name for name in current.counts if name not in reference.counts)
    most = sorted(range(len(named)), key=lambda i: -max(before[i] / before.sum(), now[i] / now.sum()))
    most = most[:SHOWN_CATEGORIES]
    shown: Shown = {
        "categories": [named[i] for i in most],
        "reference": (before[most] / before.sum()).round(6).tolist(),
        "current": (now[most] / now.sum()).round(6).tolist(),
    }
    return Difference("chi2", statistic, p, sizes, missing, shown, new=new[:5])


def chi2(before: Integers, now: Integers) -> tuple[float, float]:
    """Pearson's test of homogeneity of two rows of counts [cells]: the statistic and p.

    Cells with an expectation below five rows in either sample are taken together.
    """
    total, share = before + now, min(before.sum(), now.sum()) / (before.sum() + now.sum())
    rare = total * share < EXPECTED
    table = np.array([[*row[~rare], row[rare].sum()] for row in (before, now)], dtype=np.float64)
    table = table[:, table.sum(axis=0) > 0]
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    if table.shape[1] < 2:
        return 0.0, 1.0
    from scipy.special import chdtrc  # noqa: PLC0415 - its import takes longer than most checks

    return statistic, float(chdtrc(table.shape[1] - 1, statistic))


def _missing(reference: Column, current: Column) -> dict[str, float]:
    counts = [np.array([column.missing, column.rows]) for column in (reference, current)]
    if not all(count.sum() for count in counts):
        return {"reference": 0.0, "current": 0.0, "p": 1.0}
    p = chi2(*counts)[1] if reference.missing or current.missing else 1.0
    return {"reference": counts[0][0] / counts[0].sum(), "current": counts[1][0] / counts[1].sum(), "p": p}


def _effects(missing: Mapping[str, float]) -> dict[str, float]:
    return {"missing": abs(missing["current"] - missing["reference"])}
