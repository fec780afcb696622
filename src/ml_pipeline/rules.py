"""Does a candidate pass its gates? Pure decisions over measured numbers; standard library only."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["passed", "failed", "not-measured"]

# Every metric that the pipeline itself can measure, and whether more of it is better.
HIGHER_IS_BETTER: Mapping[str, bool] = {
    # classification, on the holdout
    "accuracy": True,
    "balanced_accuracy": True,
    "precision": True,
    "recall": True,
    "f1": True,
    "f1_macro": True,
    "f1_weighted": True,
    "roc_auc": True,
    "average_precision": True,
    "log_loss": False,
    "brier": False,
    "mcc": True,
    # regression, on the holdout
    "rmse": False,
    "mae": False,
    "r2": True,
    "mape": False,
    # between the groups of the sensitive columns
    "demographic_parity_difference": False,
    "equalized_odds_difference": False,
    # the running image
    "latency_p50_ms": False,
    "latency_p95_ms": False,
    "latency_p99_ms": False,
    "throughput_rows_per_s": True,
    "memory_mb": False,
    # measured by other stages, not by the gate's own run
    "drift_share": False,
}


@dataclass(frozen=True)
class Gate:
    """A bound on one metric; `max_regression` is how much worse than the baseline is allowed."""

    metric: str
    min: float | None = None
    max: float | None = None
    max_regression: float | None = None
    required: bool = True


@dataclass(frozen=True)
class Measured:
    """One metric's value for the candidate, and for the baseline where there is one."""

    value: float
    baseline: float | None = None


@dataclass(frozen=True)
class Decision:
    """What became of one gate. `blocks`: the candidate must not ship because of it."""

    gate: Gate
    measured: Measured | None
    status: Status
    reason: str
    blocks: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of `gates` in verdict.json."""
        return {
            "metric": self.gate.metric,
            "value": self.measured.value if self.measured else None,
            "baseline": self.measured.baseline if self.measured else None,
            "min": self.gate.min,
            "max": self.gate.max,
            "max_regression": self.gate.max_regression,
            "required": self.gate.required,
            "status": self.status,
            "reason": self.reason,
            "blocks": self.blocks,
        }


def gates_from(settings: Mapping[str, Mapping[str, Any]]) -> tuple[Gate, ...]:
    """Return the gates of the settings' table, metric → bounds, in its order."""
    return tuple(Gate(metric, **bounds) for metric, bounds in settings.items())


def higher_is_better(gate: Gate) -> bool:
    """Say which way is worse; of a user's own metric less is better when its gate has only a max."""
    known = HIGHER_IS_BETTER.get(gate.metric)
    return known if known is not None else gate.max is None or gate.min is not None


def decide(
    gates: Iterable[Gate], measured: Mapping[str, Measured], not_measured: Mapping[str, str] | None = None
) -> tuple[Decision, ...]:
    """Apply every gate, so that one run names all that is wrong.

    `not_measured` says why a known metric has no value, such as ROC AUC on a holdout of one class.
    A metric that nobody knows blocks even where its gate is not required: it is a spelling
    mistake, and a gate that can't fail is worse than none.
    """
    reasons = not_measured or {}
    return tuple(_decide(gate, measured, reasons) for gate in gates)


def _decide(gate: Gate, measured: Mapping[str, Measured], reasons: Mapping[str, str]) -> Decision:
    found = measured.get(gate.metric)
    if found is None and gate.metric not in HIGHER_IS_BETTER and gate.metric not in reasons:
        known = sorted({*measured, *HIGHER_IS_BETTER})
        nearest = ", ".join(difflib.get_close_matches(gate.metric, known, n=3, cutoff=0.0))
        return Decision(gate, None, "failed", f"no such metric; the nearest are {nearest}", blocks=True)
    if found is None:
        reason = f"not measured: {reasons.get(gate.metric, 'nothing in this run measures it')}"
        status: Status = "failed" if gate.required else "not-measured"
        return Decision(gate, None, status, reason, blocks=gate.required)
    faults = list(_faults(gate, found))
    if faults:
        return Decision(gate, found, "failed", " and ".join(faults), blocks=gate.required)
    alone = gate.max_regression is not None and found.baseline is None
    return Decision(gate, found, "passed", "no baseline to compare with" if alone else "", blocks=False)


def _faults(gate: Gate, found: Measured) -> Iterable[str]:
    if not math.isfinite(found.value):
        yield f"{number(found.value)} is no finite number"
        return
    if gate.min is not None and found.value < gate.min:
        yield "{} is below min {}".format(*_apart(found.value, gate.min))
    if gate.max is not None and found.value > gate.max:
        yield "{} is above max {}".format(*_apart(found.value, gate.max))
    if gate.max_regression is not None and found.baseline is not None:
        sign = 1 if higher_is_better(gate) else -1
        worse_by = sign * (found.baseline - found.value)
        if not worse_by <= gate.max_regression:
            worse, allowed = _apart(worse_by, gate.max_regression)
            yield (
                f"{number(found.value)} is {worse} worse than the baseline's {number(found.baseline)}, "
                f"max_regression is {allowed}"
            )


def passed(decisions: Iterable[Decision]) -> bool:
    """Say whether the candidate may ship."""
    return not any(decision.blocks for decision in decisions)


def failure(decisions: Sequence[Decision], rows: int) -> tuple[str, str]:
    """Return the cause and the hint of a failed verdict, each one line; every blocking gate is named."""
    blocking = [decision for decision in decisions if decision.blocks]
    cause = ", ".join(f"{decision.gate.metric} {decision.reason}" for decision in blocking)
    first = blocking[0]
    key = f"[tool.ml-pipeline.gates] {first.gate.metric}"
    if first.measured is None:
        spelled = first.gate.metric in HIGHER_IS_BETTER
        return cause, f"set {key}.required = false" if spelled else f"correct the name in {key}"
    return f"{cause} ({rows:,} holdout rows)", f"improve the model or {_way_out(first, key)}"


def _way_out(decision: Decision, key: str) -> str:
    gate, value = decision.gate, decision.measured.value if decision.measured else math.nan
    if gate.min is not None and value < gate.min:
        return f"lower {key}.min"
    if gate.max is not None and value > gate.max:
        return f"raise {key}.max"
    return f"raise {key}.max_regression" if math.isfinite(value) else f"change {key}"


def _apart(value: float, bound: float) -> tuple[str, str]:
    """Return both as text, with more digits where four decimals would make them look equal."""
    texts = number(value), number(bound)
    return texts if texts[0] != texts[1] else (repr(value), repr(bound))


def number(value: float) -> str:
    """Return four decimals below a hundred and one above, without trailing zeros: 0.8612, 0.9, 12, 431.5."""
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"
    if float(text) == 0 and value != 0:
        return f"{value:.2g}"
    return text.rstrip("0").rstrip(".")
