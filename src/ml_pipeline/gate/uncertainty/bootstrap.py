"""Every metric of both images in a thousand resampled holdouts, with the same rows for both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ml_pipeline.gate import metrics
from ml_pipeline.gate.arrays import Floats, Integers
from ml_pipeline.gate.metrics import QUANTILES, Answers
from ml_pipeline.gate.uncertainty import cells, ranks, resampling
from ml_pipeline.gate.uncertainty.ranks import Ranking
from ml_pipeline.gate.uncertainty.resampling import ROUNDS, SEED

EXACT_ROWS = 4096  # up to here every round sorts; beyond, influences are within a fiftieth of the interval
MIN_ROWS = 30  # of fewer rows, or fewer of a class, a resampled holdout says nothing
MIN_BEYOND = 100  # rows beyond a quantile; of 50 an interval of 95 % covers it in 93 % of holdouts

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
) -> list[Rounds]:
    """Resample class indices `truth` [N] and each image's answers; return each image's metrics by round.

    Accuracy and what else depends on labels alone comes from `cells`; what depends on probabilities is
    left out where these are not valid, and rank statistics where a class has fewer than 30 rows.
    """
    kinds = cells.with_unseen(cells.count(truth, *(image.indices for image in images)), classes)
    shares = cells.draw(kinds, rounds, seed)
    resampled = [
        cells.measure(kinds, number, shares, classes, positive) for number in range(1, len(images) + 1)
    ]
    parts = {
        number: _scored(truth, metrics.normalised(image.probabilities), classes, positive)
        for number, image in enumerate(images)
        if image.probabilities is not None and not metrics.probability_fault(image.probabilities, classes)
    }
    for number, scores in zip(parts, _resample([*parts.values()], len(truth), rounds, seed), strict=True):
        resampled[number] |= scores
    return resampled


def regression(
    truth: Floats, images: Sequence[Answers], rounds: int = ROUNDS, seed: int = SEED
) -> list[Rounds]:
    """Resample values `truth` [N] and each image's predictions; return each image's metrics by round."""
    resampled: list[Rounds] = [{} for _ in images]
    good = [number for number, image in enumerate(images) if np.isfinite(image.predicted).all()]
    parts = [_valued(truth, images[number].values) for number in good]
    for number, scores in zip(good, _resample(parts, len(truth), rounds, seed), strict=True):
        resampled[number] = scores
    return resampled


def _resample(images: Sequence[_Image], rows: int, rounds: int, seed: int) -> list[Rounds]:
    if not images:
        return []
    if rows > EXACT_ROWS:
        return _resample_many(images, rounds, seed)
    pieces: list[list[Rounds]] = [[] for _ in images]
    columns = [np.column_stack(image.columns) for image in images]
    for weights in resampling.counts(rows, rounds, seed):
        for own, image, values in zip(pieces, images, columns, strict=True):
            own.append(image.finish(weights @ values / rows) | image.ranked(weights))
    return [{name: np.concatenate([piece[name] for piece in own]) for name in own[0]} for own in pieces]


def _resample_many(images: Sequence[_Image], rounds: int, seed: int) -> list[Rounds]:
    columns = [[*image.columns, *image.influences()] for image in images]
    means = resampling.means(np.column_stack([c for own in columns for c in own]), rounds, seed)
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


def _valued(truth: Floats, predicted: Floats) -> _Image:
    """Prepare RMSE, MAE, R², MAPE and those quantiles of the absolute error that 100 rows lie beyond."""
    errors, around = predicted - truth, truth - truth.mean()
    sizes = np.abs(errors)
    relative = [sizes / np.abs(truth)] if (truth != 0).all() else []
    ordered = np.sort(sizes)
    measurable = {
        name: share for name, share in QUANTILES.items() if round((1 - share) * len(truth)) >= MIN_BEYOND
    }
    levels = list(measurable.values())
    points = np.quantile(ordered, levels, method="inverted_cdf")

    def finish(means: Floats) -> Rounds:
        errors = {"rmse": np.sqrt(means[:, 0]), "mae": means[:, 1]}
        variance = means[:, 3] - means[:, 2] ** 2
        if np.ptp(truth) > 0:
            with np.errstate(invalid="ignore", divide="ignore"):
                errors["r2"] = np.where(variance > 0, 1 - means[:, 0] / variance, np.nan)
        return errors | ({"mape": means[:, 4]} if relative else {})

    def ranked(weights: Floats) -> Rounds:
        values = ranks.quantiles(sizes, levels, weights)
        return {name: values[:, i] for i, name in enumerate(measurable)}

    def influences() -> list[Floats]:
        return [(sizes <= point).astype(np.float64) for point in points]

    def restore(means: Floats) -> Rounds:
        return {
            name: ranks.moved_quantile(ordered, share, means[:, i])
            for i, (name, share) in enumerate(measurable.items())
        }

    columns = [errors**2, sizes, around, around**2, *relative]
    return _Image(columns, finish, ranked, influences, restore)
