"""Does a candidate pass its gates? Pure decisions over measured numbers; standard library only."""

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ml_pipeline.common.metrics.table import METRICS
from ml_pipeline.common.wording import apart, number, shown

Status = Literal["passed", "failed", "not-enough-evidence", "not-measured"]

CONFIDENCE = 0.95  # of the intervals that are shown, and of what a search over slices claims
# Reasons that a metric has no value for which its gate passes: a first release has nothing to compare with.
NO_REFERENCE, NO_BASELINE = "no reference to compare with", "no baseline to compare with"
# That a candidate is worse than its baseline takes a tenth of the doubt that a gate allows: 99.5 % where it
# says 95 %. Most candidates are about as good as their baselines, and of those at most 1 % are failed then.
REGRESSION_DOUBT = 0.1

Interval = Callable[[float], tuple[float, float] | None]  # confidence → low and high, None: not known


@dataclass(frozen=True)
class Gate:
    """A bound on one metric; `max_regression` is how much worse than the baseline is allowed.

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

    @property
    def decided_at(self) -> float | None:
        """The confidence of its decisions; None: the point decides, but never of the worst of many slices."""
        return self.confidence if self.confidence is not None else CONFIDENCE if self.searches else None

    @property
    def blocks_undecided(self) -> bool:
        """Whether missing evidence blocks: what was asked to be shown must be shown.

        Of slices only if asked for: some slice is always too small to show anything.
        """
        allowed = self.insufficient or ("allow" if self.searches and self.confidence is None else "block")
        return self.required and allowed == "block"

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
    """One metric's value for the candidate, and for the baseline where there is one."""

    value: float
    baseline: float | None = None
    interval: Interval | None = None
    difference: Difference | None = None
    where: str = ""

    def against_baseline(self) -> Difference | None:
        """Return the difference that was measured, or else that of the two values."""
        if self.difference is not None or self.baseline is None:
            return self.difference
        return Difference(self.value - self.baseline)


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
        found, level = self.measured, self.gate.decided_at or CONFIDENCE
        difference = found.against_baseline() if found else None
        return {
            "metric": self.gate.metric,
            "value": found.value if found else None,
            "interval": _ends(found.interval, level) if found else None,
            "where": found.where if found else "",
            "baseline": found.baseline if found else None,
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
            "required": self.gate.required,
            "confidence": self.gate.decided_at,
            "insufficient": "block" if self.gate.blocks_undecided else "allow",
            "status": self.status,
            "reason": self.reason,
            "blocks": self.blocks,
        }


def gates_from(settings: Mapping[str, Mapping[str, Any]]) -> tuple[Gate, ...]:
    """Return the gates of the settings' table, metric → bounds, in its order."""
    return tuple(Gate(metric, **bounds) for metric, bounds in settings.items())


def higher_is_better(gate: Gate) -> bool:
    """Say which way is worse; of a user's own metric less is better when its gate has only a max."""
    known = METRICS.get(gate.metric)
    return known.higher_is_better if known else gate.max is None or gate.min is not None


def decide(
    gates: Iterable[Gate], measured: Mapping[str, Measured], not_measured: Mapping[str, str] | None = None
) -> tuple[Decision, ...]:
    """Apply every gate, so that one run names all that is wrong.

    `not_measured` says why a known metric has no value, such as ROC AUC on a holdout of one class;
    where there is nothing to compare with the gate passes, as a regression does without a baseline.
    A metric that nobody knows blocks even where its gate is not required: it is a spelling
    mistake, and a gate that can't fail is worse than none.
    """
    reasons = not_measured or {}
    return tuple(_decide(gate, measured, reasons) for gate in gates)


def _decide(gate: Gate, measured: Mapping[str, Measured], reasons: Mapping[str, str]) -> Decision:
    found = measured.get(gate.metric)
    if found is None and gate.metric not in METRICS and gate.metric not in reasons:
        known = sorted({*measured, *METRICS})
        nearest = ", ".join(difflib.get_close_matches(gate.metric, known, n=3, cutoff=0.0))
        return Decision(gate, None, "failed", f"no such metric; the nearest are {nearest}", blocks=True)
    if found is None:
        why = reasons.get(gate.metric, "nothing in this run measures it")
        if why in {NO_REFERENCE, NO_BASELINE}:
            return Decision(gate, None, "passed", why, blocks=False)
        reason = f"not measured: {why}"
        status: Status = "failed" if gate.required else "not-measured"
        return Decision(gate, None, status, reason, blocks=gate.required)
    told = list(_checks(gate, found))
    outcomes: dict[Status, bool] = {"failed": gate.required, "not-enough-evidence": gate.blocks_undecided}
    for worst, blocks in outcomes.items():
        reasons_of = [reason for status, reason in told if status == worst]
        if reasons_of:
            return Decision(gate, found, worst, " and ".join(reasons_of), blocks)
    return Decision(gate, found, "passed", next((reason for _, reason in told if reason), ""), blocks=False)


def _checks(gate: Gate, found: Measured) -> Iterator[tuple[Status, str]]:
    """Yield each bound's outcome and, where there is something to say, the reason."""
    if not math.isfinite(found.value):
        yield "failed", f"{number(found.value)} is no finite number"
        return
    ends = interval_of(found.interval, found.value, gate.decided_at)
    place = f" on {found.where}" if found.where else ""
    for bound, sign, words in ((gate.min, 1, "is below min"), (gate.max, -1, "is above max")):
        if bound is None:
            continue
        if ends is None:
            yield "not-enough-evidence", f"{number(found.value)}{place} has no interval"
            continue
        worst, best = (ends[0], ends[1]) if sign > 0 else (ends[1], ends[0])
        value, limit = apart(found.value, bound)
        said = f"{value}{shown(ends)}{place}"
        if sign * best < sign * bound:
            yield "failed", f"{said} {words} {limit}"
        elif sign * worst < sign * bound:
            yield "not-enough-evidence", f"{said} is on both sides of {words.split()[-1]} {limit}"
        else:
            yield "passed", ""
    if gate.max_regression is not None:
        yield _compare(gate, found, gate.max_regression)


def _compare(gate: Gate, found: Measured, allowed: float) -> tuple[Status, str]:
    difference = found.against_baseline()
    if difference is None:
        return "passed", NO_BASELINE
    level = gate.decided_at
    ends = interval_of(difference.interval, difference.value, level)
    strict = level and 1 - REGRESSION_DOUBT * (1 - level)
    surely = interval_of(difference.interval, difference.value, strict)
    if ends is None or surely is None:
        return "not-enough-evidence", "the difference to the baseline has no interval"
    higher = higher_is_better(gate)
    at_least, at_most = (-surely[1], -ends[0]) if higher else (surely[0], ends[1])
    worse_by = -difference.value if higher else difference.value
    worse, limit = apart(worse_by, allowed)
    place = f" on {difference.where}" if difference.where else ""
    if difference.where or found.baseline is None:
        said = f"{worse} worse than the baseline"
    else:
        said = f"{number(found.value)} is {worse} worse than the baseline's {number(found.baseline)}"
    if not at_least <= allowed:
        return "failed", f"{said}{place}, max_regression is {limit}"
    if not at_most <= allowed:
        if gate.searches:
            likeliest = f"the likeliest is {worse} worse{place}"
            return (
                "not-enough-evidence",
                f"no slice is shown to be {limit} worse than the baseline; {likeliest}",
            )
        most, limit = apart(at_most, allowed)
        return (
            "not-enough-evidence",
            f"may be {most} worse than the baseline{place}, max_regression is {limit}",
        )
    return "passed", ""


def interval_of(interval: Interval | None, value: float, level: float | None) -> tuple[float, float] | None:
    """Return the interval that a decision takes: without a confidence it is the point alone."""
    if level is None:
        return value, value
    return interval(level) if interval else None


def passed(decisions: Iterable[Decision]) -> bool:
    """Say whether the candidate may ship."""
    return not any(decision.blocks for decision in decisions)


def failure(decisions: Sequence[Decision], rows: int) -> tuple[str, str]:
    """Return the cause and the hint of a failed verdict, each one line; every blocking gate is named.

    What failed comes before what lacks evidence, each in the gates' order.
    """
    blocking = sorted((d for d in decisions if d.blocks), key=lambda d: d.status != "failed")
    cause = ", ".join(f"{_named(decision)} {decision.reason}" for decision in blocking)
    first = blocking[0]
    key = f"[tool.ml-pipeline.gates] {first.gate.metric}"
    if first.measured is None:
        spelled = first.gate.metric in METRICS
        return cause, f"set {key}.required = false" if spelled else f"correct the name in {key}"
    cause = f"{cause} ({rows:,} holdout rows)"
    if first.status == "not-enough-evidence":
        return cause, f'judge it on more holdout rows, or set {key}.insufficient = "allow"'
    return cause, f"improve the model or {_way_out(first, key)}"


def _named(decision: Decision) -> str:
    undecided = decision.status == "not-enough-evidence"
    return f"{decision.gate.metric}: not enough evidence:" if undecided else decision.gate.metric


def _way_out(decision: Decision, key: str) -> str:
    gate, value = decision.gate, decision.measured.value if decision.measured else math.nan
    if gate.min is not None and value < gate.min:
        return f"lower {key}.min"
    if gate.max is not None and value > gate.max:
        return f"raise {key}.max"
    return f"raise {key}.max_regression" if math.isfinite(value) else f"change {key}"


def _ends(interval: Interval | None, level: float) -> list[float] | None:
    ends = interval(level) if interval else None
    return list(ends) if ends else None
