"""How a model does in each group of a column, and how far the groups are apart."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MIN_ROWS = 30  # of fewer rows nothing is claimed
MAX_GROUPS = 20  # a column of numbers with more distinct values is cut at its quartiles
MISSING = "(missing)"


@dataclass(frozen=True)
class Grouping:
    """One column's groups: `members` is the name of each row's group [N]; `kind` is sensitive or slice."""

    column: str
    kind: str
    members: Any


@dataclass(frozen=True)
class Group:
    """The rows of one group of one column. A measure that too few rows speak for is None."""

    column: str
    kind: str
    name: str
    rows: int
    measures: dict[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of `groups` in verdict.json."""
        return {
            "column": self.column,
            "kind": self.kind,
            "group": self.name,
            "rows": self.rows,
            **self.measures,
        }


def members(values: Sequence[Any]) -> Any:
    """Return the group of every value [N] (None: missing) as text: the value itself, or its quartile."""
    present = [value for value in values if value is not None]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)
    if not numeric or len(set(present)) <= MAX_GROUPS:
        return np.asarray([MISSING if value is None else str(value) for value in values])
    edges = np.unique(np.quantile(np.asarray(present, dtype=np.float64), (0, 0.25, 0.5, 0.75, 1)))
    labels = np.asarray([*(f"{a:g} to {b:g}" for a, b in itertools.pairwise(edges)), MISSING])
    numbers = np.asarray([np.nan if value is None else value for value in values], dtype=np.float64)
    # A bin holds its lower edge; the last one both.
    bins = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    return labels[np.where(np.isnan(numbers), len(labels) - 1, bins)]


def classification(
    grouping: Grouping, truth: Any, predicted: Any, positive: int | None, *, min_rows: int = MIN_ROWS
) -> list[Group]:
    """Measure each group of class indices: accuracy and, where there is a positive class, its rates.

    Rates are fairlearn's (`fairlearn.metrics`: selection_rate, true_positive_rate, false_positive_rate),
    but None where fewer than `min_rows` rows are what the rate is of (fairlearn: 0 where there are none).
    """

    def measures(rows: Any) -> dict[str, float | None]:
        y, y_hat = truth[rows], predicted[rows]
        shares = {"accuracy": y == y_hat}
        if positive is not None:
            selected = y_hat == positive
            shares |= {
                "selection_rate": selected,
                "true_positive_rate": selected[y == positive],
                "false_positive_rate": selected[y != positive],
            }
        enough = max(min_rows, 1)
        return {
            name: float(np.mean(chosen)) if len(chosen) >= enough else None for name, chosen in shares.items()
        }

    return _measured(grouping, measures)


def regression(grouping: Grouping, truth: Any, predicted: Any, *, min_rows: int = MIN_ROWS) -> list[Group]:
    """Measure each group of values: RMSE, MAE and the mean error (above 0: predicted too high)."""

    def measures(rows: Any) -> dict[str, float | None]:
        error = (predicted - truth)[rows]
        found = {
            "rmse": float(np.sqrt(np.mean(error**2))),
            "mae": float(np.mean(np.abs(error))),
            "mean_error": float(np.mean(error)),
        }
        return {name: value if len(error) >= min_rows else None for name, value in found.items()}

    return _measured(grouping, measures)


def _measured(grouping: Grouping, measures: Callable[[Any], dict[str, float | None]]) -> list[Group]:
    found = []
    for name in np.unique(grouping.members).tolist():
        rows = grouping.members == name
        found.append(Group(grouping.column, grouping.kind, name, int(rows.sum()), measures(rows)))
    return found


def differences(groups: Sequence[Group]) -> dict[str, float]:
    """Return how far the groups of one column are apart, as fairlearn defines it.

    demographic_parity_difference: the largest minus the smallest selection rate;
    equalized_odds_difference: the same of the true or the false positive rate, whichever is further apart.
    Rates that are None are left out; a difference of fewer than two groups is none.
    """
    spread = {
        rate: max(values) - min(values)
        for rate in ("selection_rate", "true_positive_rate", "false_positive_rate")
        if len(values := [v for group in groups if (v := group.measures.get(rate)) is not None]) > 1
    }
    found = {}
    if "selection_rate" in spread:
        found["demographic_parity_difference"] = spread["selection_rate"]
    odds = [spread[rate] for rate in ("true_positive_rate", "false_positive_rate") if rate in spread]
    if odds:
        found["equalized_odds_difference"] = max(odds)
    return found
