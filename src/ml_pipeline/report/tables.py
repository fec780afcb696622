"""The verdict's numbers in the order and the groups that the page shows them in."""

from collections.abc import Mapping
from typing import Any

from ml_pipeline.common.measures import MEASURES
from ml_pipeline.common.wording import number, shown
from ml_pipeline.report.summary import MAIN_METRICS, measure

QUALITY, FAIR, BEHAVIOUR, SPEED = "Quality", "Fairness and slices", "Behaviour", "Speed and size"
DATA, REPORTED = "Data", "Told by the training"
TITLES = (QUALITY, FAIR, BEHAVIOUR, SPEED, DATA, REPORTED)
KINDS = {"quality": QUALITY, "fairness": FAIR, "slice": FAIR, "behaviour": BEHAVIOUR, "elsewhere": DATA}
UNITS = ("_ms", "_mb", "_per_s")
IRRELEVANT = "has no such metric"  # of a classifier no RMSE is missed


def metrics(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return `main` rows, `tables` (title → rows) of the others, and `missing` (metric → why)."""
    values = verdict.get("metrics") or {}
    if not values:
        return {}
    main = [name for name in MAIN_METRICS if name in values]
    found: dict[str, list[dict[str, str]]] = {title: [] for title in TITLES}
    order = {name: index for index, name in enumerate(MEASURES)}
    for name in sorted(values.keys() - set(main), key=lambda name: (order.get(name, len(order)), name)):
        found[_title(name)].append(_row(verdict, name))
    missing = verdict.get("not_measured") or {}
    return {
        "main": [_row(verdict, name) for name in main],
        "tables": {title: rows for title, rows in found.items() if rows},
        "missing": {name: why for name, why in missing.items() if not why.endswith(IRRELEVANT)},
    }


def _title(name: str) -> str:
    if name.startswith("drift."):
        return DATA
    if name not in MEASURES:
        return REPORTED
    return KINDS.get(MEASURES[name].kind, SPEED if name.endswith(UNITS) else BEHAVIOUR)


def _row(verdict: Mapping[str, Any], name: str) -> dict[str, str]:
    before = (verdict.get("baseline") or {}).get(name)
    apart = (verdict.get("differences") or {}).get(name) or {}
    by = apart.get("value")
    return {
        "name": name,
        "value": measure(name, verdict["metrics"][name]),
        "interval": shown((verdict.get("intervals") or {}).get(name)).strip(),
        "before": measure(name, before) if before is not None else "",
        "difference": "" if by is None else f"{'+' if by > 0 else ''}{number(by)}",
        "where": apart.get("where") or "",
        "apart": shown(apart.get("interval")).strip(),
    }


def groups(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the groups of a column together, with the names of what was measured in them."""
    tables: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for group in found:
        tables.setdefault((group["kind"], group["column"]), []).append(group)
    fixed = {"column", "kind", "group", "rows", "intervals"}
    return [
        {
            "kind": kind,
            "column": column,
            "measures": [key for key in rows[0] if key not in fixed],
            "rows": rows,
        }
        for (kind, column), rows in tables.items()
    ]
