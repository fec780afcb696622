"""Metrics of probabilities in a thousand resampled holdouts, with the same rows for both images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ml_pipeline.gate import metrics
from ml_pipeline.gate.arrays import Floats, Integers
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.uncertainty import ranks, resampling
from ml_pipeline.gate.uncertainty.ranks import Ranking
from ml_pipeline.gate.uncertainty.resampling import ROUNDS, SEED
from ml_pipeline.gate.uncertainty.units import Units

EXACT_ROWS = 4096  # up to here every round sorts; beyond, influences are within a fiftieth of the interval
# With few rows of a class influences are off by up to a fifth. Then every round sorts, if that takes seconds.
FEW_OF_A_CLASS, SORTED_ROWS = 200, 100_000
MIN_ROWS = 30  # of fewer rows, or fewer of a class, a resampled holdout says nothing

Rounds = dict[str, Floats]  # metric → its value in each round [R]


@dataclass(frozen=True)
class _Image:
    """What one image's metrics are made of: sums over rows, and statistics of sorted rows."""

    columns: list[Floats]  # values [N] whose means `finish` turns into metrics
    finish: Callable[[Floats], Rounds]  # from those means [R, K]
    ranked: Callable[[Floats], Rounds]  # from weights [R, N]
    influences: Callable[[], list[Floats]]  # columns [N] that stand in for `ranked` where rows are many
    restore: Callable[[Floats], Rounds]  # from the means of those [R, K]


def classification(
    truth: Integers,
    images: Sequence[Answers],
    classes: int,
    positive: int | None,
    rounds: int = ROUNDS,
    seed: int = SEED,
    units: Units | None = None,
) -> list[Rounds]:
    """Resample class indices `truth` [N] and probabilities; return each image's metrics by round.

    With `units` whole units are drawn, not rows.

    Nothing is measured where probabilities are not valid, and no rank statistics where a class has fewer
    than 30 rows. `labels` has the intervals of what depends on labels alone.
    """
    resampled: list[Rounds] = [{} for _ in images]
    exact = len(truth) <= EXACT_ROWS or (
        len(truth) <= SORTED_ROWS and min(np.bincount(truth, minlength=classes)) < FEW_OF_A_CLASS
    )
    parts = {
        number: _scored(truth, metrics.normalised(image.probabilities), classes, positive)
        for number, image in enumerate(images)
        if image.probabilities is not None and not metrics.probability_fault(image.probabilities, classes)
    }
    for number, scores in zip(
        parts, _resample([*parts.values()], len(truth), exact, rounds, seed, units), strict=True
    ):
        resampled[number] = {
            name: units.widened(values) if units else values for name, values in scores.items()
        }
    return resampled


def _resample(
    images: Sequence[_Image], rows: int, exact: bool, rounds: int, seed: int, units: Units | None
) -> list[Rounds]:
    if not images:
        return []
    if not exact:
        return _resample_many(images, rounds, seed, units)
    pieces: list[list[Rounds]] = [[] for _ in images]
    columns = [np.column_stack(image.columns) for image in images]
    for drawn in resampling.counts(units.count if units else rows, rounds, seed):
        weights = drawn[:, units.codes] if units else drawn
        total = weights.sum(axis=1, keepdims=True)
        for own, image, values in zip(pieces, images, columns, strict=True):
            own.append(image.finish(weights @ values / total) | image.ranked(weights))
    return [{name: np.concatenate([piece[name] for piece in own]) for name in own[0]} for own in pieces]


def _resample_many(images: Sequence[_Image], rounds: int, seed: int, units: Units | None) -> list[Rounds]:
    columns = [[*image.columns, *image.influences()] for image in images]
    every = [c for own in columns for c in own]
    if units:
        sums = resampling.means(np.column_stack([*map(units.sums, every), units.sizes]), rounds, seed)
        means = sums[:, :-1] / sums[:, -1:]
    else:
        means = resampling.means(np.column_stack(every), rounds, seed)
    resampled, first = [], 0
    for image, own in zip(images, columns, strict=True):
        middle, last = first + len(image.columns), first + len(own)
        resampled.append(image.finish(means[:, first:middle]) | image.restore(means[:, middle:last]))
        first = last
    return resampled


def _scored(truth: Integers, shares: Floats, classes: int, positive: int | None) -> _Image:
    """Prepare log loss, Brier score, calibration error, ROC AUC and average precision."""
    rows = np.arange(len(truth))
    losses = -np.log(np.clip(shares[rows, truth], np.finfo(np.float64).eps, 1))
    one_hot = truth[:, None] == np.arange(classes)
    squares = ((shares - one_hot) ** 2).sum(axis=1) / (2 if classes == 2 else 1)
    where, gaps = metrics.surprise(truth, shares, positive)
    binned = [np.where(where == number, gaps, 0.0) for number in range(metrics.CALIBRATION_BINS)]

    def finish(means: Floats) -> Rounds:
        error = np.abs(means[:, 2:]).sum(axis=1)
        return {"log_loss": means[:, 0], "brier": means[:, 1], "expected_calibration_error": error}

    sought = range(classes) if positive is None else [positive]
    enough = min(np.bincount(truth, minlength=classes)) >= MIN_ROWS
    rankings = [Ranking.of(truth == label, shares[:, label]) for label in sought] if enough else []
    names = ("roc_auc", "average_precision")

    def ranked(weights: Floats) -> Rounds:
        each = [ranks.areas(ranking, weights) for ranking in rankings]
        return {name: np.mean([pair[i] for pair in each], axis=0) for i, name in enumerate(names) if each}

    def influences() -> list[Floats]:
        each = [ranks.area_influences(ranking) for ranking in rankings]
        return [np.mean([pair[i] for pair in each], axis=0) for i in range(2) if each]

    def restore(means: Floats) -> Rounds:
        points = ranked(np.ones((1, len(truth))))
        return {name: points[name] + means[:, i] for i, name in enumerate(names) if rankings}

    return _Image([losses, squares, *binned], finish, ranked, influences, restore)
