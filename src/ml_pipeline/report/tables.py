"""The verdict's numbers in the order and the groups that the page shows them in."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from ml_pipeline.common.metrics.metric import Family
from ml_pipeline.common.metrics.table import MAIN, METRICS
from ml_pipeline.common.verdict import ColumnFairness, Verdict
from ml_pipeline.common.wording import number, shown
from ml_pipeline.report.summary import measure

QUALITY, FAIR, BEHAVIOUR, SPEED = "Quality", "Fairness and slices", "Behaviour", "Speed and size"
DATA, REPORTED = "Data", "Reported by the training"
TITLES = (QUALITY, FAIR, BEHAVIOUR, SPEED, DATA, REPORTED)
FAMILIES: dict[Family, str] = {
    "quality": QUALITY,
    "fairness": FAIR,
    "slices": FAIR,
    "behaviour": BEHAVIOUR,
    "performance": SPEED,
    "data": DATA,
}
IRRELEVANT = "has no such metric"  # a classifier does not miss its RMSE


class Row(TypedDict):
    """A metric's row, as texts; `apart` is the interval of its difference, `where` the slice it is about."""

    name: str
    value: str
    interval: str
    before: str
    beside: list[str]  # what simple models reach
    difference: str
    where: str
    apart: str


class Metrics(TypedDict):
    """The main metrics, tables of the others by title, and the reasons of those that were not measured."""

    main: list[Row]
    tables: Mapping[str, list[Row]]
    missing: Mapping[str, str]


class Group(TypedDict):
    """The groups of one column, with the names of what was measured in them."""

    kind: str
    column: str
    measures: list[str]
    rows: list[Mapping[str, object]]


def metrics(verdict: Verdict) -> Metrics | None:
    """Return all that was measured; None where nothing was."""
    values = verdict.get("metrics") or {}
    if not values:
        return None
    main = [name for name in MAIN if name in values]
    rows: dict[str, list[Row]] = {title: [] for title in TITLES}
    order = {name: index for index, name in enumerate(METRICS)}
    for name in sorted(values.keys() - set(main), key=lambda name: (order.get(name, len(order)), name)):
        rows[_title(name)].append(_row(verdict, name))
    reasons = verdict.get("not_measured") or {}
    return {
        "main": [_row(verdict, name) for name in main],
        "tables": {title: table for title, table in rows.items() if table},
        "missing": {name: why for name, why in reasons.items() if not why.endswith(IRRELEVANT)},
    }


def _title(name: str) -> str:
    if name.startswith("drift."):
        return DATA
    if name not in METRICS:
        return REPORTED
    return FAMILIES[METRICS[name].family]


def _row(verdict: Verdict, name: str) -> Row:
    baseline = (verdict.get("baseline") or {}).get(name)
    difference = (verdict.get("differences") or {}).get(name)
    change = difference["value"] if difference else None
    return {
        "name": name,
        "value": measure(name, verdict["metrics"][name]),
        "interval": shown((verdict.get("intervals") or {}).get(name)).strip(),
        "before": measure(name, baseline) if baseline is not None else "",
        "beside": [
            f"{reference} {measure(name, values[name])}"
            for reference, values in (verdict.get("references") or {}).items()
            if name in values
        ],
        "difference": "" if change is None else f"{'+' if change > 0 else ''}{number(change)}",
        "where": difference["where"] if difference else "",
        "apart": shown(difference["interval"] if difference else None).strip(),
    }


def groups(entries: Sequence[Mapping[str, object]]) -> list[Group]:
    """Put the groups of a column together, with the names of what was measured in them."""
    tables: dict[tuple[str, str], list[Mapping[str, object]]] = {}
    for entry in entries:
        tables.setdefault((str(entry["kind"]), str(entry["column"])), []).append(entry)
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


def fairness(verdict: Verdict) -> list[str]:
    """Return for each sensitive column that is measured how far its groups are apart, as text."""
    return [text for entry in verdict.get("fairness") or () if (text := _parity(entry))]


def _parity(entry: ColumnFairness) -> str:
    intervals, alike = entry.get("intervals") or {}, entry.get("expected_if_alike") or {}
    parts = []
    for name, value in entry.items():
        if isinstance(value, int | float):
            expected = alike.get(name)
            note = "" if expected is None else f" (about {number(expected)} if all groups were alike)"
            parts.append(f"{name.replace('_', ' ')} {number(value)}{shown(intervals.get(name))}{note}")
    return f"{entry['column']}: {', '.join(parts)}" if parts else ""
