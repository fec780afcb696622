"""Does a candidate pass its gates? Pure decisions over measured numbers; standard library only."""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ml_pipeline.common import rows_needed, verdict
from ml_pipeline.common.gates import (
    CONFIDENCE,
    FEW,
    NO_BASELINE,
    NO_REFERENCE,
    REGRESSION_DOUBT,
    Gate,
    Interval,
    Measured,
)
from ml_pipeline.common.metrics.table import METRICS
from ml_pipeline.common.verdict import Status
from ml_pipeline.common.wording import apart, number, shown


@dataclass(frozen=True)
class Decision:
    """The decision of one gate. `blocks`: the candidate must not ship because of it."""

    gate: Gate
    measured: Measured | None
    status: Status
    reason: str
    blocks: bool

    def as_dict(self) -> verdict.Gate:
        """Return the entry of `gates` in verdict.json."""
        measured, level = self.measured, self.gate.decided_at or CONFIDENCE
        undecided = self.status == "not-enough-evidence"
        blocks = self.blocks if undecided else self.gate.blocks_undecided
        difference = measured.against_baseline() if measured else None
        return {
            "metric": self.gate.metric,
            "value": measured.value if measured else None,
            "interval": _ends(measured.interval, level) if measured else None,
            "where": measured.where if measured else "",
            "baseline": measured.baseline if measured else None,
            "difference": {
                "value": difference.value,
                "interval": _ends(difference.interval, level),
                "where": difference.where,
            }
            if difference
            else None,
            "min": self.gate.min,
            "max": self.gate.max,
            "max_regression": self.gate.max_regression,
            "better_than": self.gate.better_than,
            "required": self.gate.required,
            "confidence": self.gate.decided_at,
            "insufficient": "block" if blocks else "allow",
            "status": self.status,
            "reason": self.reason,
            "blocks": self.blocks,
        }


def higher_is_better(gate: Gate) -> bool:
    """Say which way is worse; of a user's own metric less is better when its gate has only a max."""
    metric = METRICS.get(gate.metric)
    return metric.higher_is_better if metric else gate.max is None or gate.min is not None


def decide(
    gates: Iterable[Gate],
    measured: Mapping[str, Measured],
    not_measured: Mapping[str, str] | None = None,
    rows: int | None = None,
) -> tuple[Decision, ...]:
    """Apply every gate, so that one run names all that is wrong.

    `not_measured` says why a known metric has no value, such as ROC AUC on a holdout of one class;
    where there is nothing to compare with the gate passes, as a regression does without a baseline.
    A metric that nobody knows blocks even where its gate is not required: it is a spelling
    mistake, and a gate that can't fail is worse than none. `rows` of the holdout: an undecided gate says how
    many would decide it.
    """
    reasons = not_measured or {}
    return tuple(_decide(gate, measured, reasons, rows) for gate in gates)


@dataclass(frozen=True)
class _Check:
    """One bound's outcome; `blocks` says whether a lack of evidence does."""

    status: Status
    reason: str = ""
    blocks: bool = False


def _decide(
    gate: Gate, values: Mapping[str, Measured], reasons: Mapping[str, str], rows: int | None
) -> Decision:
    measured = values.get(gate.metric)
    if measured is None:
        return _not_measured(gate, values, reasons)
    checks = list(_checks(gate, measured, rows if gate.of_holdout else None))
    for worst in ("failed", "not-enough-evidence"):
        causes = [check for check in checks if check.status == worst]
        if causes:
            reason = " and ".join(check.reason for check in causes)
            blocks = gate.required and (worst == "failed" or any(check.blocks for check in causes))
            return Decision(gate, measured, causes[0].status, reason, blocks)
    reason = next((check.reason for check in checks if check.reason), "")
    return Decision(gate, measured, "passed", reason, blocks=False)


def _not_measured(gate: Gate, values: Mapping[str, Measured], reasons: Mapping[str, str]) -> Decision:
    if gate.metric not in METRICS and gate.metric not in reasons:
        names = sorted({*values, *METRICS})
        nearest = ", ".join(difflib.get_close_matches(gate.metric, names, n=3, cutoff=0.0))
        return Decision(gate, None, "failed", f"no such metric; the nearest are {nearest}", blocks=True)
    reason = reasons.get(gate.metric, "nothing in this run measures it")
    if reason in {NO_REFERENCE, NO_BASELINE}:
        return Decision(gate, None, "passed", reason, blocks=False)
    if reason.startswith(FEW):
        return Decision(gate, None, "not-enough-evidence", reason, gate.blocks_undecided)
    status: Status = "failed" if gate.required else "not-measured"
    return Decision(gate, None, status, f"not measured: {reason}", blocks=gate.required)


def _checks(gate: Gate, measured: Measured, rows: int | None) -> Iterator[_Check]:
    """Yield each bound's outcome and, where there is something to say, the reason."""
    if not math.isfinite(measured.value):
        yield _Check("failed", f"{number(measured.value)} is not a finite number")
        return
    ends = interval_of(measured.interval, measured.value, gate.decided_at)
    place = f" on {measured.where}" if measured.where else ""
    for bound, sign, words in ((gate.min, 1, "is below min"), (gate.max, -1, "is above max")):
        if bound is None:
            continue
        if ends is None:
            reason = f"{number(measured.value)}{place} has no interval{_because(measured)}"
            yield _Check("not-enough-evidence", reason, gate.blocks_undecided)
            continue
        worst, best = (ends[0], ends[1]) if sign > 0 else (ends[1], ends[0])
        value, limit = apart(measured.value, bound)
        text = f"{value}{shown(ends)}{place}"
        if sign * best < sign * bound:
            note = f" ({measured.note})" if measured.note else ""
            yield _Check("failed", f"{text} {words} {limit}{note}")
        elif sign * worst < sign * bound:
            reason = f"{text} is on both sides of {words.split()[-1]} {limit}"
            end = worst if sign * measured.value > sign * bound else best
            more = _rows(gate, measured.value - bound, measured.value - end, rows)
            yield _Check("not-enough-evidence", reason + more, gate.blocks_undecided)
        else:
            yield _Check("passed")
    if gate.max_regression is not None:
        yield _compare(gate, measured, gate.max_regression, rows)
    if gate.better_than is not None:
        yield _beats(gate, measured, gate.better_than, rows)


def _compare(gate: Gate, measured: Measured, allowed: float, rows: int | None) -> _Check:
    difference = measured.against_baseline()
    if difference is None:
        return _Check("passed", NO_BASELINE)
    level = gate.decided_at
    ends = interval_of(difference.interval, difference.value, level)
    strict = level and 1 - REGRESSION_DOUBT * (1 - level)
    surely = interval_of(difference.interval, difference.value, strict)
    if ends is None or surely is None:
        reason = f"the difference to the baseline has no interval{_because(measured)}"
        return _Check("not-enough-evidence", reason, gate.blocks_undecided)
    higher = higher_is_better(gate)
    at_least, at_most = (-surely[1], -ends[0]) if higher else (surely[0], ends[1])
    worse_by = -difference.value if higher else difference.value
    worse, limit = apart(worse_by, allowed)
    place = f" on {difference.where}" if difference.where else ""
    if difference.where or measured.baseline is None:
        text = f"{worse} worse than the baseline"
    else:
        text = f"{number(measured.value)} is {worse} worse than the baseline's {number(measured.baseline)}"
    if not at_least <= allowed:
        return _Check("failed", f"{text}{place}, max_regression is {limit}")
    if at_most <= allowed:
        return _Check("passed")
    if gate.searches:
        reason = (
            f"no slice is shown to be {limit} worse than the baseline; the likeliest is {worse} worse{place}"
        )
    else:
        most, limit = apart(at_most, allowed)
        reason = f"may be {most} worse than the baseline{place}, max_regression is {limit}"
        end = at_most if worse_by <= allowed else at_least
        reason += _rows(gate, worse_by - allowed, worse_by - end, rows)
    return _Check("not-enough-evidence", reason, gate.blocks_regression(worse_by, allowed))


def _beats(gate: Gate, measured: Measured, reference: str, rows: int | None) -> _Check:
    lead = measured.leads.get(reference)
    if lead is None:
        return _Check("failed", f"can't be compared: the model {reference!r} has no value of it")
    ends = interval_of(lead.interval, lead.value, gate.decided_at)
    if ends is None:
        reason = f"the difference to {reference} has no interval{_because(measured)}"
        return _Check("not-enough-evidence", reason, gate.blocks_undecided)
    least, most = ends if higher_is_better(gate) else (-ends[1], -ends[0])
    value, other = apart(measured.value, measured.value - lead.value)
    if most <= 0:
        return _Check("failed", f"{value} is not better than {reference}'s {other}")
    if least > 0:
        return _Check("passed")
    better_by = lead.value if higher_is_better(gate) else -lead.value
    reason = f"{value} may be no better than {reference}'s {other}"
    reason += _rows(gate, better_by, better_by - (least if better_by > 0 else most), rows)
    return _Check("not-enough-evidence", reason, gate.blocks_undecided)


def _rows(gate: Gate, gap: float, margin: float, rows: int | None) -> str:
    return "" if gate.searches else rows_needed.sentence(rows_needed.times(gap, margin), rows)


def _because(measured: Measured) -> str:
    return f": {measured.no_interval}" if measured.no_interval else ""


def interval_of(interval: Interval | None, value: float, level: float | None) -> tuple[float, float] | None:
    """Return the interval that a decision takes: without a confidence it is the point alone."""
    if level is None:
        return value, value
    return interval(level) if interval else None


def passed(decisions: Iterable[Decision]) -> bool:
    """Say whether the candidate may ship."""
    return not any(decision.blocks for decision in decisions)


def _ends(interval: Interval | None, level: float) -> tuple[float, float] | None:
    return interval(level) if interval else None
