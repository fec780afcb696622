"""Intervals of the metrics of a regression: means of errors, and quantiles of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ml_pipeline.common.gates import CONFIDENCE
from ml_pipeline.gate.arrays import Booleans, Floats
from ml_pipeline.gate.metrics import QUANTILES, Answers
from ml_pipeline.gate.uncertainty.intervals import Mirrored
from ml_pipeline.gate.uncertainty.labels import MetricIntervals
from ml_pipeline.gate.uncertainty.shares import Apart, nothing
from ml_pipeline.gate.uncertainty.skewed import Exponential, Skewed
from ml_pipeline.gate.uncertainty.units import Units, design

FEW_LARGEST = 0.01  # of the rows: if these make more than half of the squared errors, few rows decide
ALL_RIGHT = "all errors are 0"
_SQUARED = ("rmse", "r2")
# Images err in different shapes if the second of these quantiles of their errors, over the first one, differs
# by more than this factor: normal and t3 errors by 1.4. With 1.2, more equal images of 100 rows are failed.
_SHAPE, _UNLIKE = (0.5, 0.95), 1.16


def intervals(truth: Floats, images: Sequence[Answers], units: Units | None = None) -> MetricIntervals:
    """Return the intervals for values `truth` [N] and the finite predictions of one image or two.

    Those of RMSE, MAE, R² (of 1 - R²) and MAPE are made on the scale of logarithms, on which such metrics are
    nearly symmetric. Differences are those of the same rows.
    """
    good = [image for image in images if np.isfinite(image.predicted).all()]
    if not good or good[0] is not images[0]:
        return MetricIntervals()
    each_means = [means(truth, image.values) for image in good]
    result = MetricIntervals()
    for name, (value, influences) in each_means[0].items():
        if value == 0:
            result.missing[name] = ALL_RIGHT
            continue
        relative = influences / value
        moved = units.means(relative) if units else relative
        interval = Exponential(Skewed.of(math.log(value), moved))
        result.values[name] = Mirrored(interval, 1.0, 1) if name == "r2" else interval
    sizes = [np.abs(image.values - truth) for image in good]
    each = [np.sort(errors) for errors in sizes]
    for name, level in QUANTILES.items():
        quantiles = [
            _quantile(ordered, errors, level, units) for ordered, errors in zip(each, sizes, strict=True)
        ]
        if quantiles[0](CONFIDENCE) is None:
            needed = quantiles[0].needed()
            result.missing[name] = f"the holdout has {len(truth):,} rows, and {needed:,} are needed"
            continue
        result.values[name] = quantiles[0]
        if len(good) > 1:
            beyond = [errors > quantile.value for errors, quantile in zip(sizes, quantiles, strict=True)]
            result.differences[name] = _apart(quantiles, beyond, units)
    if len(good) > 1:
        unlike = _unlike(*each)
        for name, (value, influences) in each_means[0].items():
            other, before = each_means[1][name]
            if unlike and name in _SQUARED and value > 0 and other > 0:
                result.differences[name] = _of_unlike(name, [metrics[name] for metrics in each_means], units)
                continue
            sign = -1 if name == "r2" else 1
            moved = sign * (influences - before)
            apart = Skewed.of(sign * (value - other), units.means(moved) if units else moved)
            result.differences[name] = apart
        if np.array_equal(sizes[0], sizes[1]):
            result.differences = dict.fromkeys(result.differences, nothing)
    return result


def _unlike(one: Floats, other: Floats) -> bool:
    """Say whether one of two images errs more rarely and more: by the shapes of their sorted errors [N]."""
    middle, far = (round(level * (len(one) - 1)) for level in _SHAPE)
    with np.errstate(divide="ignore", invalid="ignore"):
        tails = [ordered[far] / ordered[middle] for ordered in (one, other)]
    return bool(max(tails) > _UNLIKE * min(tails))


def _of_unlike(name: str, each: Sequence[tuple[float, Floats]], units: Units | None) -> Apart:
    """Return the interval of a difference of squared errors of images that err in different shapes.

    A holdout that lacks the rare rows makes one image look better and its variance small. The image's own
    interval is long on the side of the rare rows, and then that of the difference is too (Zou and Donner
    2008). Of images of one shape this takes more rows than the interval of the difference itself.
    """
    moved = [units.means(influences) if units else influences for _, influences in each]
    correlation = _correlation(*moved)
    one, other = (value for value, _ in each)
    of_one = Exponential(Skewed.of(math.log(one), moved[0] / one))
    of_other = Exponential(Skewed.of(math.log(other), moved[1] / other))
    if name == "r2":
        return Apart(1 - one, 1 - other, Mirrored(of_one, 1.0, 1), Mirrored(of_other, 1.0, 1), correlation)
    return Apart(one, other, of_one, of_other, correlation)


def _quantile(ordered: Floats, errors: Floats, level: float, units: Units | None) -> "Quantile":
    quantile = Quantile(ordered, level)
    return Quantile(ordered, level, design(units, (errors > quantile.value).astype(np.float64)))


def _apart(quantiles: Sequence["Quantile"], beyond: Sequence[Booleans], units: Units | None) -> Apart:
    """Return the interval of the difference of two quantiles of the same rows.

    They vary together as the rows beyond them do (Bahadur 1966).
    """
    moved = [rows - np.mean(rows) for rows in beyond]
    if units:
        moved = [units.sums(rows) for rows in moved]
    one, other = quantiles
    return Apart(one.value, other.value, one, other, _correlation(*moved))


def _correlation(one: Floats, other: Floats) -> float:
    """Return the correlation of values whose means are 0."""
    squares = float(one @ one) * float(other @ other)
    return float(one @ other) / math.sqrt(squares) if squares else 0.0


def means(truth: Floats, predicted: Floats) -> dict[str, tuple[float, Floats]]:
    """Return each metric and its influences [N]; of R² those of 1 - R²."""
    sizes = np.abs(predicted - truth)
    squares = sizes**2
    mean = float(squares.mean())
    root = math.sqrt(mean)
    metrics = {
        "rmse": (root, (squares - mean) / (2 * root) if root else squares),
        "mae": (float(sizes.mean()), sizes - sizes.mean()),
    }
    around = (truth - truth.mean()) ** 2
    variance = float(around.mean())
    if np.ptp(truth) > 0:
        metrics["r2"] = (mean / variance, squares / variance - mean * around / variance**2)
    if (truth != 0).all():
        relative = sizes / np.abs(truth)
        metrics["mape"] = (float(relative.mean()), relative - relative.mean())
    return metrics


@dataclass(frozen=True)
class Quantile:
    """The interval of a quantile of sorted values [N]: two of the values, by their ranks.

    `design`: how many of them say as much as one independent value.
    """

    ordered: Floats
    level: float
    design: float = 1.0

    @property
    def value(self) -> float:
        """The least value that enough rows do not exceed."""
        return float(self.ordered[math.ceil(self.level * len(self.ordered) * (1 - 1e-12)) - 1])

    def __call__(self, confidence: float) -> tuple[float, float] | None:
        """Return the ends, which hold for any distribution (David and Nagaraja 2003, section 7.1).

        None if the holdout has too few rows for an end: then no value is surely beyond the quantile.
        """
        tail, rows = (1 - confidence) / 2, len(self.ordered)
        independent = int(rows / self.design)
        scale = rows / max(independent, 1)
        low = math.floor(scale * stats.binom.ppf(tail, independent, self.level)) - 1
        high = math.ceil(scale * stats.binom.ppf(1 - tail, independent, self.level))
        if low < 0 or high >= rows:
            return None
        return float(self.ordered[low]), float(self.ordered[high])

    def needed(self, confidence: float = 0.95) -> int:
        """Return of how many rows this quantile has an interval."""
        fewest = math.log((1 - confidence) / 2) / math.log(max(self.level, 1 - self.level))
        return math.ceil(fewest * self.design)


def dominated(truth: Floats, predicted: Floats) -> str:
    """Return the warning that few rows make most of the squared error, or an empty string."""
    squares = np.sort((predicted - truth) ** 2)[::-1]
    if not np.isfinite(squares).all():
        return ""
    rows = max(1, round(FEW_LARGEST * len(squares)))
    share = float(squares[:rows].sum() / (squares.sum() or 1.0))
    if share <= 0.5:
        return ""
    return (
        f"{rows:,} of {len(squares):,} rows make {share:.0%} of the squared error: RMSE and R² are uncertain"
    )
