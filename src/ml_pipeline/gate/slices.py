"""Where a candidate does worst, and where it lost most: every slice of the holdout that is large enough.

A search over hundreds of slices always finds one that looks bad. So each slice has an interval that
holds for all of them at once (Bonferroni), and the worst slice is the one that is shown to be bad,
not the one that looks worst.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from scipy import stats

from ml_pipeline.gate import groups
from ml_pipeline.gate.arrays import Booleans, Floats, Integers, Numeric
from ml_pipeline.gate.uncertainty.units import Units

MIN_ROWS = 50
MAX_VALUES = 50  # of a column: the most frequent ones
MAX_PAIRED = 20  # columns that are crossed with each other, the configured ones first
Ends = tuple[Floats, Floats]  # low and high [S]
Coded = tuple[Integers, list[str]]  # each row's value as a number [N], and the names of the values
Statistic = Floats | Booleans | None  # a value of each row [N]; None stands for 1


@dataclass(frozen=True)
class Slices:
    """S slices: their names, and the sums over their rows that intervals are made of."""

    names: list[str]
    configured: Booleans  # [S]: columns that the project named; they have half of the allowed error
    sums: Mapping[str, Floats]  # statistic → sum over the rows of each slice [S]
    regression: bool
    # Statistic → its variance and its kurtosis over all rows.
    whole: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    # Statistic → its design effect over all rows: a slice has about the same.
    design: Mapping[str, float] = field(default_factory=dict)

    def values(self, who: str = "candidate") -> Floats:
        """Return each slice's accuracy, or its RMSE [S], of the candidate or the baseline."""
        share = self.sums[who] / self.sums["rows"]
        return np.sqrt(share) if self.regression else share

    def intervals(self, confidence: float) -> Ends:
        """Return intervals of the candidate's values that hold for all slices at once."""
        tail, total, rows = self._tails(confidence), self._of("candidate"), self._of("candidate", "rows")
        if not self.regression:
            return _exact(total, rows, tail)
        squared = self._of("candidate", "squared")
        low, high = _mean(total, squared, rows, tail, self.whole["candidate"])
        return np.sqrt(np.maximum(low, 0)), np.sqrt(high)

    def differences(self, confidence: float) -> Ends:
        """Return intervals of candidate minus baseline that hold for all slices at once.

        Accuracies differ by the rows that only one of them gets right: how many these are, and which share
        of them is the candidate's, are each exact (Clopper and Pearson 1934; McNemar 1947). Squared errors
        differ row by row. A slice of few rows often lacks the large errors that its kind of rows has, so
        their variance is at least that of the whole holdout.
        """
        rows, tail = self._of("difference", "rows"), self._tails(confidence)
        if self.regression:
            total, squared = self._of("difference"), self._of("difference", "squared_difference")
            low, high = _mean(total, squared, rows, tail, self.whole["difference"])
            both = self.values() + self.values("baseline")
            scale = np.divide(1, both, out=np.zeros_like(both), where=both > 0)
            return low * scale, high * scale
        won, lost = self._of("difference", "won"), self._of("difference", "lost")
        few, many = _exact(won + lost, rows, tail / 2)
        low, high = (2 * end - 1 for end in _exact(won, won + lost, tail / 2))
        return np.where(low < 0, many, few) * low, np.where(high < 0, few, many) * high

    def worst(self, ends: Ends) -> int:
        """Return the slice that is shown to be worst: bad even at the good end of its interval."""
        return int(np.argmax(ends[0]) if self.regression else np.argmin(ends[1]))

    def most_lost(self, ends: Ends) -> int:
        """Return the slice that is shown to have lost most, or where none is, the one that likeliest has."""
        if (ends[0].max() > 0) if self.regression else (ends[1].min() < 0):
            return self.worst(ends)
        rows = self.sums["rows"]
        if self.regression:
            total, spread = self.sums["difference"], self.sums["squared_difference"]
        else:
            total, spread = self.sums["lost"] - self.sums["won"], self.sums["lost"] + self.sums["won"]
        deviation = np.sqrt(np.maximum(spread - total**2 / rows, 0))
        return int(np.argmax(np.divide(total, deviation, out=np.zeros_like(total), where=deviation > 0)))

    def bounds(self, ends: Ends) -> tuple[float, float]:
        """Return the interval of the worst slice's true value, whichever slice that is."""
        extreme = np.max if self.regression else np.min
        return float(extreme(ends[0])), float(extreme(ends[1]))

    def _of(self, statistic: str, name: str = "") -> Floats:
        """Return sums [S] over as many independent rows as say as much about the statistic."""
        return self.sums[name or statistic] / self.design.get(statistic, 1.0)

    def _tails(self, confidence: float) -> Floats:
        named = int(self.configured.sum())
        others = len(self.names) - named
        shares = 2 if named and others else 1
        return (1 - confidence) / 2 / shares / np.where(self.configured, max(named, 1), max(others, 1))


def search(
    frame: pl.DataFrame,
    named: Sequence[str],
    truth: Numeric,
    candidate: Numeric,
    baseline: Numeric | None,
    *,
    regression: bool,
    min_rows: int = MIN_ROWS,
    units: Units | None = None,
) -> Slices | None:
    """Slice the rows by the columns of `frame` and by pairs of them; None if no slice is large enough.

    `named` are the columns that the project configured. `truth` and the answers are class indices [N], or
    values [N] for regression. A column of dates is sliced only if it is named, and one of many
    different texts by those that are frequent.
    """
    statistics = _statistics(truth, candidate, baseline, regression)
    columns = [*named, *(name for name in frame.columns if name not in named)]
    coded = {name: _coded(frame[name], min_rows, named=name in named) for name in dict.fromkeys(columns)}
    coded = {name: column for name, column in coded.items() if column[1]}
    collected = _Collected([], [], {name: [] for name in statistics})
    for name, (codes, labels) in coded.items():
        collected.add(codes, [f"{name} = {label}" for label in labels], statistics, min_rows, name in named)
    crossed = list(coded)[:MAX_PAIRED]
    for index, first in enumerate(crossed):
        for second in crossed[index + 1 :]:
            collected.add(*_crossed(first, second, coded), statistics, min_rows, configured=False)
    if not collected.names:
        return None
    sums = {name: np.concatenate(values) for name, values in collected.sums.items()}
    # Of slices that are the same rows (a code and its meaning, say) the first one counts.
    _, kept = np.unique(sums.pop("fingerprint"), return_index=True)
    kept.sort()
    names, configured = (
        [collected.names[index] for index in kept.tolist()],
        np.asarray(collected.configured)[kept],
    )
    whole = {
        name: _moments(values)
        for name, values in statistics.items()
        if regression and values is not None and name in {"candidate", "difference"}
    }
    kept_sums = {name: values[kept] for name, values in sums.items()}
    return Slices(names, configured, kept_sums, regression, whole, _designs(statistics, units))


@dataclass
class _Collected:
    """The slices that are large enough, until all columns are read."""

    names: list[str]
    configured: list[bool]
    sums: dict[str, list[Floats]]

    def add(
        self,
        codes: Integers,
        labels: Sequence[str] | Callable[[int], str],
        statistics: Mapping[str, Statistic],
        min_rows: int,
        configured: bool,
    ) -> None:
        """Keep the slices that have enough rows, but not all of them."""
        rows = np.bincount(codes[codes >= 0])
        kept = np.flatnonzero((rows >= min_rows) & (rows < len(codes)))
        if not len(kept):
            return
        inside = codes >= 0
        own = codes[inside] if not inside.all() else codes
        for name, values in statistics.items():
            sums = rows if values is None else np.bincount(own, values[inside], minlength=len(rows))
            self.sums[name].append(sums[kept].astype(np.float64))
        self.names += [labels(k) if callable(labels) else labels[k] for k in kept.tolist()]
        self.configured += [configured] * len(kept)


def _statistics(
    truth: Numeric, candidate: Numeric, baseline: Numeric | None, regression: bool
) -> dict[str, Statistic]:
    """Return what is summed over each slice's rows [N]; None stands for the rows themselves."""
    statistics: dict[str, Statistic] = {
        "rows": None,
        "fingerprint": np.random.default_rng(0).random(len(truth)),
    }
    if regression:
        own = (candidate - truth).astype(np.float64, copy=False) ** 2
        statistics |= {"candidate": own, "squared": own**2}
        if baseline is not None:
            other = (baseline - truth).astype(np.float64, copy=False) ** 2
            statistics |= {
                "baseline": other,
                "difference": own - other,
                "squared_difference": (own - other) ** 2,
            }
        return statistics
    right = candidate == truth
    statistics["candidate"] = right
    if baseline is not None:
        also = baseline == truth
        statistics |= {"baseline": also, "won": right & ~also, "lost": also & ~right}
    return statistics


def _designs(statistics: Mapping[str, Statistic], units: Units | None) -> dict[str, float]:
    """Return how many rows say as much as one independent row: about the candidate, and its difference."""
    if units is None:
        return {}
    values = {name: values.astype(np.float64) for name, values in statistics.items() if values is not None}
    if "won" in values:
        values["difference"] = values["won"] - values["lost"]
    return {name: units.design(values[name]) for name in ("candidate", "difference") if name in values}


def _coded(series: pl.Series, min_rows: int, *, named: bool) -> Coded:
    """Return each row's value as a number [N], -1 where the value is too rare, and the values' names."""
    if series.dtype.is_nested() or (series.dtype.is_temporal() and not named):
        return np.empty(0, dtype=np.int64), []
    codes, names = groups.coded(series)
    rows = np.bincount(codes, minlength=len(names))
    kept = [k for k in np.argsort(-rows, kind="stable")[:MAX_VALUES].tolist() if rows[k] >= min_rows]
    short = np.full(len(names), -1)
    short[kept] = np.arange(len(kept))
    return short[codes], [names[k] for k in kept]


def _crossed(first: str, second: str, coded: Mapping[str, Coded]) -> tuple[Integers, Callable[[int], str]]:
    (one, ones), (two, twos) = coded[first], coded[second]
    codes = np.where((one >= 0) & (two >= 0), one * len(twos) + two, -1)

    def label(code: int) -> str:
        return f"{first} = {ones[code // len(twos)]}, {second} = {twos[code % len(twos)]}"

    return codes, label


def _exact(hits: Floats, rows: Floats, tail: Floats) -> Ends:
    """Return the exact interval of a share, hits out of rows [S], as Clopper and Pearson (1934) do."""
    with np.errstate(invalid="ignore"):
        low = np.where(hits > 0, stats.beta.ppf(tail, hits, rows - hits + 1), 0.0)
        high = np.where(hits < rows, stats.beta.ppf(1 - tail, hits + 1, rows - hits), 1.0)
    return low, high


def _moments(values: Floats | Booleans) -> tuple[float, float]:
    centred = values - np.mean(values)
    largest = float(np.abs(centred).max()) or 1.0  # so that no power is too large for a number
    second, fourth = (float(np.mean((centred / largest) ** power)) for power in (2, 4))
    return second * largest**2, fourth / second**2 if second else 3.0


def _mean(total: Floats, squares: Floats, rows: Floats, tail: Floats, whole: tuple[float, float]) -> Ends:
    """Return the interval of a mean [S] from its rows' sum and sum of squares, by Student's t.

    `whole` is the variance of a row at least, and its kurtosis, which says as of how many rows the variance
    is known (Satterthwaite 1946).
    """
    least, kurtosis = whole
    mean = total / rows
    variance = np.maximum(squares / rows - mean**2, least) / (rows - 1)
    freedom = np.clip(2 * rows / max(kurtosis - 1, 1e-9), 1, rows - 1)
    margin = stats.t.ppf(1 - tail, freedom) * np.sqrt(variance)
    return mean - margin, mean + margin
