"""Which rows belong together, such as those of one customer, by the column that `data.group` names."""

import numpy as np
import numpy.typing as npt
import polars as pl


def codes(groups: pl.Series) -> npt.NDArray[np.int64]:
    """Return each row's group as a number from 0, in the order of the values.

    A row without a value is a group of its own; these come last.
    """
    ranks = groups.rank("dense").cast(pl.Int64) - 1
    first = groups.drop_nulls().n_unique()
    alone = ranks.is_null().cast(pl.Int64).cum_sum() - 1 + first
    return ranks.fill_null(alone).to_numpy()
