"""What a gate asks of one metric, and what was measured of it. Standard library only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ml_pipeline.common.metrics.table import METRICS

CONFIDENCE = 0.95  # of the intervals that are shown, and of what a search over slices claims
# Reasons that a metric has no value for which its gate passes: a first release has nothing to compare with.
NO_REFERENCE, NO_BASELINE = "no reference to compare with", "no baseline to compare with"
# How a reason begins that a larger holdout would remove: the gate lacks evidence, and has not failed.
FEW = "too few rows: "
# That a candidate is worse than its baseline takes a tenth of the doubt that a gate allows: 99.5 % where it
# says 95 %. Most candidates are about as good as their baselines, and of those at most 1 % are failed then.
REGRESSION_DOUBT = 0.1
REFERENCES = ("constant", "linear", "boosting")  # simple models that a candidate's metrics stand beside

Interval = Callable[[float], tuple[float, float] | None]  # confidence → low and high, None: not known


@dataclass(frozen=True)
class Gate:
    """A bound on one metric; `max_regression` is how much worse than the baseline is allowed.

    `better_than` names a simple model that the candidate must beat (gate/references.py).

    With a `confidence` the whole interval must be on the good side of the bound to pass, and on the bad
    side to fail. Between the two there is not enough evidence, and `insufficient` says whether that blocks.
    """

    metric: str
    min: float | None = None
    max: float | None = None
    max_regression: float | None = None
    required: bool = True
    confidence: float | None = None
    insufficient: Literal["block", "allow"] | None = None
    better_than: Literal["constant", "linear", "boosting"] | None = None

    @property
    def decided_at(self) -> float | None:
        """The confidence of its decisions; None: the point decides, but never of the worst of many slices."""
        return self.confidence if self.confidence is not None else CONFIDENCE if self.searches else None

    @property
    def blocks_undecided(self) -> bool:
        """Whether missing evidence blocks: a gate with a `confidence` asks for it.

        Of slices only if asked for: some slice is always too small to show anything.
        """
        allowed = self.insufficient or ("allow" if self.searches and self.confidence is None else "block")
        return self.required and allowed == "block"

    def blocks_regression(self, lost: float, allowed: float) -> bool:
        """Whether missing evidence of a regression blocks: by default if the measured loss is too large.

        Most candidates are about as good as their baselines, and few holdouts can show that they are not a
        little worse.
        """
        return self.blocks_undecided and not (self.insufficient is None and lost <= allowed)

    @property
    def of_holdout(self) -> bool:
        """Whether its metric is measured on all rows of the holdout."""
        return self.metric in METRICS and METRICS[self.metric].family in {"quality", "fairness"}

    @property
    def searches(self) -> bool:
        """Whether it is about the worst of many slices, which is found by looking for it."""
        return self.metric in METRICS and METRICS[self.metric].family == "slices"


@dataclass(frozen=True)
class Difference:
    """Candidate minus baseline on the same rows; `where` names the rows where they are not all."""

    value: float
    interval: Interval | None = None
    where: str = ""


@dataclass(frozen=True)
class Measured:
    """One metric's value for the candidate, and for the baseline where there is one.

    `no_interval` says why it has none, and `note` is what a reader of a failure should know.
    """

    value: float
    baseline: float | None = None
    interval: Interval | None = None
    difference: Difference | None = None
    where: str = ""
    no_interval: str = ""
    note: str = ""
    leads: Mapping[str, Difference] = field(default_factory=dict)  # over simple models that a gate names

    def against_baseline(self) -> Difference | None:
        """Return the difference that was measured, or else that of the two values."""
        if self.difference is not None or self.baseline is None:
            return self.difference
        return Difference(self.value - self.baseline)
