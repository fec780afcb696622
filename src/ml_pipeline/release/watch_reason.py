"""What a watch decided, in one sentence with figures; pure."""

from ml_pipeline.release.evidence import Count
from ml_pipeline.release.signals import (
    CLASSES,
    DOWN,
    ERRORS,
    PROBES,
    SLOW,
    Decision,
    Signal,
    Signals,
)

_WHAT = {
    ERRORS: ("answered {new} with an error", "requests"),
    SLOW: ("needed more than {what} for {new}", "answers"),
    CLASSES: ("predicted {what!r} for {new}", "rows"),
    PROBES: ("answered {new} with an error", "requests that the watch sent"),
    DOWN: ("did not run, or started again, at {new}", "looks at its pods"),
}


def reason(signals: Signals, seconds: float, requests: float, sent: float) -> tuple[Decision, str]:
    """Return the decision on all signals so far, and why."""
    worse = signals.worse()
    if worse is not None:
        return "back", f"the new release {_compared(worse)}, after {seconds:g} s in production"
    seen = _seen(seconds, requests, sent)
    unclear, good = signals.unclear(), signals.as_good()
    if unclear:
        low, high = (f"{bound * 100:.1f}" for bound in unclear[0].evidence.interval)
        tolerance = f"{unclear[0].evidence.tolerance * 100:g}"
        about = f"{unclear[0].family} may differ by {low} to {high} points, and {tolerance} are accepted"
        return "insufficient", f"there is not enough evidence: {seen}, and {about}"
    if not good:
        return "insufficient", f"there is not enough evidence: {seen}, and nothing could be compared"
    fixed = "; the old one answered much more with errors" if signals.fixes_a_bad_stable() else ""
    return "keep", f"the new release is as good as the old one: {seen}, {_listed(good)} compared{fixed}"


def _compared(signal: Signal) -> str:
    clause, unit = _WHAT[signal.family]
    evidence = signal.evidence
    recent = sum(evidence.recent, Count())
    new = recent if recent.rate > evidence.candidate.rate else evidence.candidate
    text = clause.format(new=_share(new, unit), what=signal.what)
    no_other = signal.family in {DOWN, PROBES}
    return text if no_other else f"{text}, the old one {_share(evidence.stable, unit)}"


def _share(count: Count, unit: str) -> str:
    return f"{count.rate * 100:.1f} % of {count.n:,.0f} {unit}"


def _seen(seconds: float, requests: float, sent: float) -> str:
    own = f" and {sent:,.0f} that the watch sent" if sent else ""
    return f"{requests:,.0f} requests{own} in {seconds:g} s"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
