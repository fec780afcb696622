"""What to say when gates stop a candidate: the cause and the way out, each one line."""

import math
from collections.abc import Sequence

from ml_pipeline.common.metrics.table import METRICS
from ml_pipeline.common.rules import Decision, higher_is_better


def of(decisions: Sequence[Decision], rows: int) -> tuple[str, str]:
    """Return the cause and the hint of a failed verdict, each one line; every blocking gate is named.

    What failed comes before what lacks evidence, each in the gates' order.
    """
    blocking = sorted((d for d in decisions if d.blocks), key=lambda d: d.status != "failed")
    cause = ", ".join(f"{_named(decision)} {decision.reason}" for decision in blocking)
    first = blocking[0]
    key = f"[tool.ml-pipeline.gates] {first.gate.metric}"
    if first.measured is None and first.status == "not-enough-evidence":
        return f"{cause} ({rows:,} holdout rows)", _more_rows(key)
    if first.measured is None:
        is_metric = first.gate.metric in METRICS
        return cause, f"set {key}.required = false" if is_metric else f"correct the name in {key}"
    cause = f"{cause} ({rows:,} holdout rows)"
    if first.status == "not-enough-evidence":
        return cause, _more_rows(key)
    return cause, f"improve the model or {_way_out(first, key)}"


def _more_rows(key: str) -> str:
    return f'judge it on more holdout rows, or set {key}.insufficient = "allow"'


def _named(decision: Decision) -> str:
    undecided = decision.status == "not-enough-evidence"
    return f"{decision.gate.metric}: not enough evidence:" if undecided else decision.gate.metric


def _way_out(decision: Decision, key: str) -> str:
    gate, value = decision.gate, decision.measured.value if decision.measured else math.nan
    if gate.min is not None and value < gate.min:
        return f"lower {key}.min"
    if gate.max is not None and value > gate.max:
        return f"raise {key}.max"
    if decision.measured and gate.better_than:
        lead = decision.measured.leads.get(gate.better_than)
        if lead is None or lead.value == 0 or (lead.value > 0) != higher_is_better(gate):
            return f"remove {key}.better_than"
    return f"raise {key}.max_regression" if math.isfinite(value) else f"change {key}"
