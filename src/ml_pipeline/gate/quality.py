"""Everything that the holdout says about a candidate."""

from dataclasses import dataclass, field

from ml_pipeline.common import verdict
from ml_pipeline.common.gates import Measured
from ml_pipeline.gate.curves import Curves
from ml_pipeline.gate.groups import Group


@dataclass
class Quality:
    """The metrics, why others were not measured, and what a report shows beside them."""

    measured: dict[str, Measured] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    fairness: list[verdict.ColumnFairness] = field(default_factory=list)
    slices: verdict.Slices | None = None
    curves: Curves = field(default_factory=Curves)
    references: dict[str, dict[str, float]] = field(default_factory=dict)  # simple model → metric → value
    no_better: dict[str, str] = field(default_factory=dict)  # metric → beside what of a constant answer
