"""Does an image say the same to its batch command and to /predict?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ml_pipeline.gate.answers import Task
from ml_pipeline.gate.metrics import Answers, class_indices, probability_fault
from ml_pipeline.gate.probe import Probe

TOLERANCE = 1e-4  # between numbers of one row that were computed in batches of different sizes


def compare(answers: Answers, rows: Sequence[int], probed: Probe, task: Task) -> dict[str, Any]:
    """Compare what the batch command and /predict of the same image said about the same rows.

    The label of a row may differ only where its two best classes are as probable: a tie that rounding breaks.
    """
    batch = answers.predicted[list(rows)]
    if task.classes is None:
        served = np.asarray(probed.predictions, dtype=np.float64)
        apart = np.abs(batch - served)
        differing = ~np.isclose(batch, served, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    else:
        served = class_indices(probed.predictions, task.classes)
        differing, apart = batch != served, np.zeros(len(batch))
        both = (answers.probabilities, probed.probabilities)
        if not any(probability_fault(shares, len(task.classes)) for shares in both):
            shares = np.asarray(both[0], dtype=np.float64)[list(rows)]
            apart = np.abs(shares - np.asarray(both[1], dtype=np.float64)).max(axis=1)
            first_two = np.sort(shares, axis=1)[:, -2:]
            tie = np.ptp(first_two, axis=1) <= 2 * TOLERANCE
            differing = (apart > TOLERANCE) | (differing & ~tie)
    first = [int(rows[i]) for i in np.flatnonzero(differing)[:5]]
    return {
        "rows": len(rows),
        "differing": int(differing.sum()),
        "max_difference": float(np.max(apart, initial=0.0)),
        "first": first,
    }


def failure(skew: Mapping[str, Any]) -> tuple[str, str]:
    """Return the cause and the hint of an image that differs from itself."""
    cause = (
        f"the image's batch command and its /predict disagree on {skew['differing']} of {skew['rows']} rows "
        f"(first: holdout row {skew['first'][0]})"
    )
    return cause, "let both run the same model on the same columns"
