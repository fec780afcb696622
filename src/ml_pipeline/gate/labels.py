"""Class labels as indices: the same class is spelled differently in different formats."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ml_pipeline.gate.arrays import Integers
from ml_pipeline.model.signature import Label


def class_indices(labels: npt.ArrayLike, classes: Sequence[Label]) -> Integers:
    """Return the index in `classes` of every label [N], -1 where it is none of them.

    Labels are compared as text, because the same class is the string "1" in one format
    and the integer 1 in the other; true, True and 1 are the same class, and so are false, False and 0.
    """
    positions = {_text(label): index for index, label in enumerate(classes)}
    distinct, inverse = np.unique(np.asarray(labels), return_inverse=True)
    indices = [
        next((positions[key] for key in _spellings(label) if key in positions), -1)
        for label in distinct.tolist()
    ]
    return np.asarray(indices, dtype=np.int64)[inverse]


def _text(label: Label) -> str:
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def _spellings(label: Label) -> tuple[str, ...]:
    text = _text(label)
    return (text, *_TWINS.get(text, ()))


_TWINS = {"true": ("True", "1"), "false": ("False", "0"), "1": ("true", "True"), "0": ("false", "False")}
