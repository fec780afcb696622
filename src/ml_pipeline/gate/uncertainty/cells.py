"""Answers that are classes: the holdout as counts of (truth, candidate, baseline), resampled as counts.

Whatever depends on labels alone depends on these counts alone, so a round costs as much for a million
rows as for a hundred.
"""

from dataclasses import dataclass

import numpy as np

from ml_pipeline.gate.arrays import Floats, Integers
from ml_pipeline.gate.uncertainty.resampling import ROUNDS, SEED


@dataclass(frozen=True)
class Cells:
    """Kinds of rows: `labels` [K, M] has the class indices of each kind, `rows` [K] how many there are.

    `prior` [K] is what is added to the rows when shares are drawn.
    """

    labels: Integers
    rows: Integers
    prior: Floats


def count(*columns: Integers) -> Cells:
    """Count rows by their class indices, one array [N] a column: the truth, then each image's answers."""
    base = max(int(column.max()) for column in columns) + 2  # room for -1, a class that the model lacks
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        codes = codes * base + column + 1
    kinds, rows = np.unique(codes, return_counts=True)
    digits = base ** np.arange(len(columns))[::-1]
    return Cells(kinds[:, None] // digits % base - 1, rows, np.zeros(len(rows)))


def with_unseen(cells: Cells, classes: int, leading: int = 1) -> Cells:
    """Add the kinds of rows that would move a metric most and may be missing: an image right, or wrong.

    For each class of the holdout (of each group, where `leading` columns come before the answers) there is
    one row's worth of prior, spread over the ways in which the images can be right or wrong together:
    Jeffreys' prior of each share. Images that agree on every row are taken to be the same, so there
    is no such kind in which they differ.
    """
    images = cells.labels.shape[1] - leading
    answers = cells.labels[:, leading:]
    agree = images > 1 and bool((answers[:, 0] == answers[:, 1]).all())
    ways = [way for way in np.ndindex(*(2,) * images) if not (agree and len(set(way)) > 1)]
    numbers = {tuple(kind): row for row, kind in enumerate(cells.labels.tolist())}
    prior = dict.fromkeys(range(len(cells.rows)), 0.0)
    for first in np.unique(cells.labels[:, :leading], axis=0).tolist():
        for way in ways:
            kind = (*first, *((first[-1] + step) % classes for step in way))
            prior[numbers.setdefault(kind, len(numbers))] = 1 / len(ways)
    rows = np.append(cells.rows, np.zeros(len(numbers) - len(cells.rows), dtype=int))
    return Cells(np.asarray(list(numbers)), rows, np.asarray([prior[row] for row in range(len(numbers))]))


def draw(cells: Cells, rounds: int = ROUNDS, seed: int = SEED) -> Floats:
    """Return the share of each kind of row in each round [rounds, K].

    The Bayesian bootstrap (Rubin 1981). With the prior, kinds that the holdout happens to lack stay
    possible: without it, an image that errs on none of 30 rows would have an interval without width.
    """
    random = np.random.default_rng(seed)
    drawn = random.standard_gamma(cells.rows + cells.prior, (rounds, len(cells.rows)))
    shares: Floats = drawn / drawn.sum(axis=1, keepdims=True)
    return shares


def measure(
    cells: Cells, image: int, shares: Floats, classes: int, positive: int | None
) -> dict[str, Floats]:
    """Return the metrics [R] of one image (1: the candidate, 2: the baseline) that labels alone decide.

    They are scikit-learn's, with `zero_division` = 0 and the averages that `metrics.classification` names.
    """
    truth, answer = cells.labels[:, 0], cells.labels[:, image]
    label = np.arange(classes)
    of_truth = shares @ (truth[:, None] == label)
    of_answer = shares @ (answer[:, None] == np.arange(-1, classes))  # -1: a class that the model lacks
    hit = shares @ ((truth == answer)[:, None] & (truth[:, None] == label))
    precision, recall = _ratio(hit, of_answer[:, 1:]), _ratio(hit, of_truth)
    f1 = _ratio(2 * hit, of_truth + of_answer[:, 1:])
    right, size = hit.sum(axis=1), of_truth.sum(axis=1)
    there = of_truth > 0
    expected = (of_truth * of_answer[:, 1:]).sum(axis=1)
    spread = (size**2 - (of_answer**2).sum(axis=1)) * (size**2 - (of_truth**2).sum(axis=1))
    metrics = {
        "accuracy": right / size,
        "balanced_accuracy": (recall * there).sum(axis=1) / there.sum(axis=1),
        "f1_macro": f1.mean(axis=1),
        "f1_weighted": (f1 * of_truth).sum(axis=1) / size,
        "mcc": _ratio(right * size - expected, np.sqrt(np.maximum(spread, 0))),
    }
    for name, values in {"precision": precision, "recall": recall, "f1": f1}.items():
        metrics[name] = values.mean(axis=1) if positive is None else values[:, positive]
    return metrics


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 1e-15)
