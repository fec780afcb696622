"""Whether an image answers the same in its batch command and in /predict."""

from collections.abc import Sequence

import numpy as np

from ml_pipeline.common.verdict import Skew
from ml_pipeline.gate.answers import Task
from ml_pipeline.gate.arrays import Booleans, Floats
from ml_pipeline.gate.labels import class_indices
from ml_pipeline.gate.metrics import Answers, probability_fault
from ml_pipeline.gate.probe import Probe

TOLERANCE = 1e-4  # between numbers of one row that were computed in batches of different sizes


def compare(answers: Answers, rows: Sequence[int], probed: Probe, task: Task) -> Skew:
    """Compare the answers of an image's batch command and of its /predict to the same rows.

    The label of a row may differ only where its two best classes are as probable: a tie that rounding breaks.
    """
    batch = answers.predicted[list(rows)]
    if task.classes is None:
        values = np.asarray(probed.predictions, dtype=np.float64)
        apart: Floats = np.abs(batch - values)
        differing: Booleans = ~np.isclose(batch, values, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    else:
        differing = batch != class_indices(probed.predictions, task.classes)
        apart = np.zeros(len(batch))
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


def failure(skew: Skew) -> tuple[str, str]:
    """Return the cause and the hint of the failure of an image that differs from itself."""
    cause = (
        f"the image's batch command and its /predict disagree on {skew['differing']} of {skew['rows']} rows "
        f"(first: holdout row {skew['first'][0]})"
    )
    return cause, "let both run the same model on the same columns"
