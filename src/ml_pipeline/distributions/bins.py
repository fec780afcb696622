"""Bins of equal share in the reference, for the stability index: by convention ten."""

import numpy as np

from ml_pipeline.distributions.effects import Integers, Numeric
from ml_pipeline.distributions.record import Numbers

BINS = 10


def edges(reference: Numbers) -> Numeric:
    """Return the values [BINS - 1 or fewer] up to which 1, 2, … tenths of the reference's rows are."""
    return np.unique(reference.at(np.arange(1, BINS) / BINS))


def counts(column: Numbers, edges: Numeric) -> Integers:
    """Count the rows up to the first edge, from there to the second, …, above the last [len(edges) + 1]."""
    return np.diff(np.concatenate([[0], column.rank(edges), [column.rows]]))
