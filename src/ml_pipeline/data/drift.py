"""Which columns have moved since the reference?

At a million rows every difference is significant, and most do not matter. So a column has drifted when its
test is significant, after a correction for the number of tests, and its effect is at least the threshold.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data.report import ColumnDrift, DriftReport
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.violations import Violation
from ml_pipeline.distributions.cores import columns_at_once
from ml_pipeline.distributions.differences import Difference, compare
from ml_pipeline.distributions.record import Column
from ml_pipeline.project import data_rules

_SIZES = {
    "wasserstein": "moved by {:.3g} standard deviations",
    "psi": "population stability index {:.3g}",
    "jensen_shannon": "Jensen-Shannon distance {:.3g}",
}

Read = Callable[[str], Column | None]


def differences(names: Iterable[str], reference: Read, current: Read, rows: int) -> dict[str, Difference]:
    """Compare columns on all cores (reading and sorting do not hold Python's lock)."""

    def one(name: str) -> tuple[str, Difference | None]:
        before, now = reference(name), current(name)
        return name, compare(before, now) if before and now else None

    with ThreadPoolExecutor(columns_at_once(rows)) as pool:
        compared = dict(pool.map(one, names))
    return {name: difference for name, difference in compared.items() if difference}


def adjusted(ps: Iterable[float]) -> list[float]:
    """Correct p-values for their number: Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995)."""
    values = np.array(list(ps))
    order = np.argsort(values)[::-1]
    ranks = np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum.accumulate(np.minimum(1.0, values[order] * len(values) / ranks))
    return [float(p) for p in corrected]


def judge(differences: Mapping[str, Difference], settings: Settings) -> list[ColumnDrift]:
    """Decide which columns have drifted; return an entry a column, the furthest moved first.

    A column's own `drift` goes before [data.drift]. Raises StageFailure if its own effect is not defined
    for its type.
    """
    ps: dict[tuple[str, str], float] = {}
    for name, difference in differences.items():
        if difference.p is not None:
            ps[name, "values"] = difference.p
        ps[name, "missing"] = difference.missing["p"]
    corrected = dict(zip(ps, adjusted(ps.values()), strict=True))
    entries = [
        _judged(name, difference, settings, corrected.get((name, "values")), corrected[name, "missing"])
        for name, difference in differences.items()
    ]
    return sorted(entries, key=_prominence)


def _judged(
    name: str, difference: Difference, settings: Settings, p: float | None, p_missing: float
) -> ColumnDrift:
    rules = settings.columns.get(name, data_rules.Column()).drift or data_rules.ColumnDrift()
    alpha = settings.drift.alpha if rules.alpha is None else rules.alpha
    threshold = settings.drift.threshold if rules.threshold is None else rules.threshold
    effect = _effect(name, difference, rules.effect, settings.drift.effect)
    size = difference.effects.get(effect, 0.0)
    because: list[Literal["values", "missing"]] = []
    if p is not None and p < alpha and size >= threshold:
        because.append("values")
    if p_missing < alpha and difference.effects["missing"] >= threshold:
        because.append("missing")
    return {
        "name": name,
        "target": name == settings.target,
        "test": difference.test,
        "statistic": difference.statistic,
        "error": difference.error,
        "p": difference.p,
        "p_adjusted": p,
        "effect": effect,
        "size": size,
        "said": _SIZES[effect].format(size),
        "threshold": threshold,
        "alpha": alpha,
        "effects": difference.effects,
        "missing": difference.missing | {"p_adjusted": p_missing},
        "new": list(difference.new),
        "drifted": bool(because),
        "because": because,
        "shown": difference.shown,
    }


def _effect(name: str, difference: Difference, own: str | None, common: str | None) -> str:
    """Choose the effect: the column's own, else the common one where it is defined, else a default."""
    default = "wasserstein" if difference.test == "ks" else "jensen_shannon"
    if own and difference.p is not None and own not in difference.effects:
        cause = f"column {name!r} has drift.effect = {own!r}, which is for numbers"
        raise StageFailure(cause, "use jensen_shannon or psi under [tool.ml-pipeline.data.columns]")
    return own or (common if common in difference.effects else None) or default


def _prominence(entry: ColumnDrift) -> tuple[bool, float]:
    size = max(entry["size"], entry["effects"]["missing"]) / (entry["threshold"] or 1)
    return not entry["drifted"], -size if math.isfinite(size) else -math.inf


def violations(drift: DriftReport | None) -> list[Violation]:
    """Return a violation for each reason that a column counts as drifted."""
    return [
        Violation(entry["name"], "drift", _line(entry, because), share=entry["size"])
        for entry in (drift["columns"] if drift else ())
        for because in entry["because"]
    ]


def _line(entry: ColumnDrift, because: str) -> str:
    what = f"{'target' if entry['target'] else 'column'} {entry['name']!r}"
    limit = f"threshold {entry['threshold']:g}"
    if because == "missing":
        shares = f"{entry['missing']['reference']:.1%} of rows to {entry['missing']['current']:.1%}"
        return f"{what} has drifted: missing in {shares} ({limit})"
    new = f", new: {', '.join(map(repr, entry['new']))}" if entry["new"] else ""
    p = entry["p_adjusted"] or 0.0
    shown = "p < 1e-12" if p < 1e-12 else f"p = {p:.2g}"
    return f"{what} has drifted: {entry['said']} ({limit}, {shown}{new})"


def metrics(drift: DriftReport | None, names: Iterable[str]) -> dict[str, float | None]:
    """Return the metrics that a gate may name: drift_share, and `drift.COLUMN`, each column's effect.

    The effect counts if its test is significant, else as 0: of few rows, or of many categories, it is
    large without any drift. None: there is nothing to compare with.
    """
    values: dict[str, float | None] = {"drift_share": drift["share"] if drift else None}
    values |= {f"drift.{name}": None for name in names}
    return values | {f"drift.{entry['name']}": _shown(entry) for entry in (drift["columns"] if drift else ())}


def _shown(entry: ColumnDrift) -> float:
    p = entry["p_adjusted"]
    return 0.0 if p is not None and p >= entry["alpha"] else entry["size"]
