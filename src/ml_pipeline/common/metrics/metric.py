"""What there is to know about one metric."""

from dataclasses import dataclass
from typing import Literal

# Where the report shows a metric, and what kind of evidence there is for it.
Family = Literal["quality", "fairness", "slices", "behaviour", "performance", "data"]


@dataclass(frozen=True)
class Unit:
    """How values are written: the text after the number, and its decimals (None: as few as it needs)."""

    name: str
    text: str = ""
    digits: int | None = None


NONE = Unit("-")
TARGET = Unit("that of the target")
NATS = Unit("nats")
MILLISECONDS = Unit("ms", " ms", 2)
MEGABYTES = Unit("MB (10⁶ bytes)", " MB", 0)
PER_SECOND = Unit("rows per second", "/s", 0)


@dataclass(frozen=True)
class Metric:
    """One metric. The texts are Markdown, for docs/metrics.md."""

    name: str  # in gates, verdict.json and metrics.json
    title: str
    family: Family
    higher_is_better: bool
    definition: str
    source: str  # a function of scikit-learn or fairlearn, a paper, or where the number is read
    range: str = "0 to 1"
    unit: Unit = NONE
    interval: str = ""  # the method; empty: it has no interval, and a gate on it can't have a `confidence`
    missing: str = ""  # when it is not measured
    main: int | None = None  # its place in the summary; None: only the report shows it

    @property
    def has_interval(self) -> bool:
        """Whether a gate on it can have a `confidence`."""
        return bool(self.interval)
