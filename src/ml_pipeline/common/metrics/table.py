"""The table of metrics: `METRICS`, by the names that gates use. Standard library only."""

from collections.abc import Mapping

from ml_pipeline.common.metrics.behaviour import BEHAVIOUR, FAIRNESS, SLICES
from ml_pipeline.common.metrics.metric import MEGABYTES, MILLISECONDS, NONE, PER_SECOND, Family, Metric, Unit
from ml_pipeline.common.metrics.performance import DATA, PERFORMANCE
from ml_pipeline.common.metrics.quality import LABELS, PROBABILITIES, REGRESSION
from ml_pipeline.common.wording import number

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        *(*LABELS, *PROBABILITIES, *REGRESSION),
        *(*FAIRNESS, *SLICES, *BEHAVIOUR, *PERFORMANCE, *DATA),
    )
}
# Shown first, in this order.
MAIN = tuple(
    metric.name
    for metric in sorted(
        (metric for metric in METRICS.values() if metric.main is not None), key=lambda m: m.main or 0
    )
)
# Of a project's own metrics the end of the name says the unit.
_ENDINGS = {"_ms": MILLISECONDS, "_mb": MEGABYTES, "_per_s": PER_SECOND}


def names(family: Family) -> tuple[str, ...]:
    """Return the names of a family's metrics."""
    return tuple(name for name, metric in METRICS.items() if metric.family == family)


def unit(name: str) -> Unit:
    """Return a metric's unit; that of a project's own metric is the end of its name."""
    if name in METRICS:
        return METRICS[name].unit
    return next((unit for ending, unit in _ENDINGS.items() if name.endswith(ending)), NONE)


def written(name: str, value: float) -> str:
    """Return a metric's value as people read it: 0.8612, 12.50 ms, 431 MB."""
    its = unit(name)
    return number(value) if its.digits is None else f"{value:,.{its.digits}f}{its.text}"
