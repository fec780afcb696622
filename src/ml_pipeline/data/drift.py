"""Which columns have moved since the reference?

At a million rows every difference is significant, and most matter to nobody. So a column has
drifted when its test is significant, after a correction for the number of tests, and its effect is
at least the threshold.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data.schema import Violation
from ml_pipeline.distributions.cores import columns_at_once
from ml_pipeline.distributions.differences import Difference, compare
from ml_pipeline.distributions.record import Column

_SIZES = {
    "wasserstein": "moved by {:.3g} standard deviations",
    "psi": "population stability index {:.3g}",
    "jensen_shannon": "Jensen-Shannon distance {:.3g}",
}

Read = Callable[[str], Column | None]


def differences(names: Iterable[str], reference: Read, current: Read, rows: int) -> dict[str, Difference]:
    """Compare columns, on all cores: reading and sorting leave Python's lock alone."""

    def one(name: str) -> tuple[str, Difference | None]:
        before, now = reference(name), current(name)
        return name, compare(before, now) if before and now else None

    with ThreadPoolExecutor(columns_at_once(rows)) as pool:
        found = dict(pool.map(one, names))
    return {name: difference for name, difference in found.items() if difference}


def adjusted(ps: Iterable[float]) -> list[float]:
    """Correct p-values for their number: Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995)."""
    values = np.array(list(ps))
    order = np.argsort(values)[::-1]
    ranks = np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum.accumulate(np.minimum(1.0, values[order] * len(values) / ranks))
    return [float(p) for p in corrected]


def judge(
    differences: Mapping[str, Difference],
    settings: Mapping[str, Any],
    columns: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Decide which columns have drifted; return an entry a column, the furthest moved first.

    `settings` has alpha, threshold and perhaps an effect for all columns that it fits; a column's own
    `drift` goes before. Raises StageFailure where a column's own effect is none of its kind.
    """
    tests = [(name, key) for name, found in differences.items() for key in ("values", "missing")
             if key == "missing" or found.p is not None]  # fmt: skip
    ps = [differences[name].p if key == "values" else differences[name].missing["p"] for name, key in tests]
    corrected = dict(zip(tests, adjusted(p for p in ps if p is not None), strict=True))
    entries = []
    for name, found in differences.items():
        asked = _set((columns.get(name) or {}).get("drift") or {})
        own = {**settings, **asked}
        effect = _effect(name, found, asked.get("effect"), settings.get("effect"))
        by_values = _drifted(corrected.get((name, "values")), found.effects.get(effect, 0.0), own)
        by_missing = _drifted(corrected[name, "missing"], found.effects["missing"], own)
        entries.append({
            "name": name,
            "test": found.test,
            "statistic": found.statistic,
            "error": found.error,
            "p": found.p,
            "p_adjusted": corrected.get((name, "values")),
            "effect": effect,
            "size": found.effects.get(effect, 0.0),
            "said": _SIZES[effect].format(found.effects.get(effect, 0.0)),
            "threshold": own["threshold"],
            "alpha": own["alpha"],
            "effects": found.effects,
            "missing": found.missing | {"p_adjusted": corrected[name, "missing"]},
            "new": list(found.new),
            "drifted": by_values or by_missing,
            "because": [key for key, yes in (("values", by_values), ("missing", by_missing)) if yes],
            "shown": found.shown,
        })  # fmt: skip
    return sorted(entries, key=_prominence)


def _effect(name: str, found: Difference, asked: str | None, usual: str | None) -> str:
    """Choose by what is measured: a column of categories has no Wasserstein distance."""
    default = "wasserstein" if found.test == "ks" else "jensen_shannon"
    if asked and found.p is not None and asked not in found.effects:
        cause = f"column {name!r} has drift.effect = {asked!r}, which is for numbers"
        raise StageFailure(cause, "use jensen_shannon or psi under [tool.ml-pipeline.data.columns]")
    return asked or (usual if usual in found.effects else None) or default


def _set(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value is not None}


def _drifted(p: float | None, size: float, own: Mapping[str, Any]) -> bool:
    return bool(p is not None and p < own["alpha"] and size >= own["threshold"])


def _prominence(entry: Mapping[str, Any]) -> tuple[bool, float]:
    size = max(entry["size"], entry["effects"]["missing"]) / (entry["threshold"] or 1)
    return not entry["drifted"], -size if math.isfinite(size) else -math.inf


def findings(moved: Mapping[str, Any] | None) -> list[Violation]:
    """Put each drifted column into a line."""
    return [
        Violation(entry["name"], "drift", _line(entry, because), share=entry["size"])
        for entry in (moved or {}).get("columns", [])
        for because in entry["because"]
    ]


def _line(entry: Mapping[str, Any], because: str) -> str:
    what = f"{'target' if entry['target'] else 'column'} {entry['name']!r}"
    limit = f"threshold {entry['threshold']:g}"
    if because == "missing":
        shares = f"{entry['missing']['reference']:.1%} of rows to {entry['missing']['current']:.1%}"
        return f"{what} has drifted: missing in {shares} ({limit})"
    new = f", new: {', '.join(map(repr, entry['new']))}" if entry["new"] else ""
    p = entry["p_adjusted"]
    shown = "p < 1e-12" if p < 1e-12 else f"p = {p:.2g}"
    return f"{what} has drifted: {entry['said']} ({limit}, {shown}{new})"


def metrics(moved: Mapping[str, Any] | None, names: Iterable[str]) -> dict[str, float | None]:
    """Return what a gate may name: drift_share, and `drift.COLUMN`, each column's effect.

    None: there is nothing to compare with.
    """
    found: dict[str, float | None] = {"drift_share": moved["share"] if moved else None}
    found |= {f"drift.{name}": None for name in names}
    return found | {f"drift.{column['name']}": column["size"] for column in (moved or {}).get("columns", [])}
