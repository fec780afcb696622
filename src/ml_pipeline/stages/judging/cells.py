"""Answers that are classes: the holdout as counts of (truth, candidate, baseline), resampled as counts.

Whatever depends on labels alone depends on these counts alone, so a round costs as much for a million
rows as for a hundred.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_pipeline.stages.judging.resampling import ROUNDS, SEED


@dataclass(frozen=True)
class Cells:
    """Kinds of rows: `labels` [K, M] has the class indices of each kind, `rows` [K] how many there are."""

    labels: Any
    rows: Any


def count(*columns: Any) -> Cells:
    """Count rows by their class indices, one array [N] a column: the truth, then each image's answers."""
    labels, rows = np.unique(np.column_stack(columns), axis=0, return_counts=True)
    return Cells(labels, rows)


def with_unseen(cells: Cells, classes: int) -> Cells:
    """Add the kinds of rows that would move a metric most and may be missing: an image right, or wrong.

    One such kind for each class of the holdout and each way in which the images can be right or wrong
    together. Images that agree on every row are taken to be the same: no kind in which they differ is added.
    """
    images = cells.labels.shape[1] - 1
    agree = images > 1 and bool((cells.labels[:, 1] == cells.labels[:, 2]).all())
    kinds = {tuple(kind) for kind in cells.labels.tolist()}
    fresh = []
    for label in np.unique(cells.labels[:, 0]).tolist():
        for wrong in np.ndindex(*(2,) * images):
            kind = (label, *((label + step) % classes for step in wrong))
            if kind not in kinds and not (agree and len(set(wrong)) > 1):
                fresh.append(kind)
    if not fresh:
        return cells
    return Cells(
        np.vstack([cells.labels, np.asarray(fresh)]), np.append(cells.rows, np.zeros(len(fresh), dtype=int))
    )


def draw(cells: Cells, rounds: int = ROUNDS, seed: int = SEED) -> Any:
    """Return the share of each kind of row in each round [rounds, K].

    The Bayesian bootstrap (Rubin 1981) with the prior of Perks (1947), one row's worth spread over all
    kinds: kinds that the holdout happens to lack stay possible. Without that, an image that errs on none
    of 30 rows would have an interval without width.
    """
    random = np.random.default_rng(seed)
    shares = random.standard_gamma(cells.rows + 1 / len(cells.rows), (rounds, len(cells.rows)))
    return shares / shares.sum(axis=1, keepdims=True)


def measure(cells: Cells, image: int, shares: Any, classes: int, positive: int | None) -> dict[str, Any]:
    """Return the metrics [R] of one image (1: the candidate, 2: the baseline) that labels alone decide.

    They are scikit-learn's, with `zero_division` = 0 and the averages that `metrics.classification` names.
    """
    truth, answer = cells.labels[:, 0], cells.labels[:, image]
    label = np.arange(classes)
    of_truth = shares @ (truth[:, None] == label)
    of_answer = shares @ (answer[:, None] == np.arange(-1, classes))  # -1: a class that nobody knows
    hit = shares @ ((truth == answer)[:, None] & (truth[:, None] == label))
    precision, recall = _ratio(hit, of_answer[:, 1:]), _ratio(hit, of_truth)
    f1 = _ratio(2 * hit, of_truth + of_answer[:, 1:])
    right, size = hit.sum(axis=1), of_truth.sum(axis=1)
    there = of_truth > 0
    expected = (of_truth * of_answer[:, 1:]).sum(axis=1)
    spread = (size**2 - (of_answer**2).sum(axis=1)) * (size**2 - (of_truth**2).sum(axis=1))
    found = {
        "accuracy": right / size,
        "balanced_accuracy": (recall * there).sum(axis=1) / there.sum(axis=1),
        "f1_macro": f1.mean(axis=1),
        "f1_weighted": (f1 * of_truth).sum(axis=1) / size,
        "mcc": _ratio(right * size - expected, np.sqrt(np.maximum(spread, 0))),
    }
    for name, values in {"precision": precision, "recall": recall, "f1": f1}.items():
        found[name] = values.mean(axis=1) if positive is None else values[:, positive]
    return found


def _ratio(part: Any, whole: Any) -> Any:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 1e-15)
