"""Which groups have too few rows for a claim, and how many rows they need. Standard library only."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from ml_pipeline.common.verdict import Verdict

GROUP_ROWS = 30  # that a group needs, in a verdict that does not say it
SHOWN = 10  # groups that a sentence names
# Rate of a group → the rows that it is a share of.
RATES = {"true_positive_rate": "positive rows", "false_positive_rate": "rows that are not positive"}

Entries = Sequence[Mapping[str, object]]


def sentences(verdict: Verdict) -> list[str]:
    """Return a sentence for each reason to leave groups out; none if all groups are large enough."""
    entries = cast("Entries", verdict.get("groups") or ())
    needed = verdict.get("group_rows", GROUP_ROWS)
    large = [entry for entry in entries if _rows(entry) >= needed]
    found = [*_small(entries, needed), *_rates(large, needed)]
    searched = verdict.get("slices")
    return [*found, *_unsearched(large, searched["min_rows"])] if searched else found


def _small(entries: Entries, needed: int) -> Iterator[str]:
    if small := [_sized(entry) for entry in entries if _rows(entry) < needed]:
        yield f"Groups with fewer than {needed} rows are left out: {_listed(small)}."


def _rates(entries: Entries, needed: int) -> Iterator[str]:
    for rate, of in RATES.items():
        if without := [_name(entry) for entry in entries if rate in entry and entry[rate] is None]:
            words = rate.replace("_", " ")
            yield f"Groups with fewer than {needed} {of} have no {words}: {_listed(without)}."


def _unsearched(entries: Entries, needed: int) -> Iterator[str]:
    if small := [_sized(entry) for entry in entries if _rows(entry) < needed]:
        yield f"The search for the worst slice needs {needed} rows, and leaves out: {_listed(small)}."


def _rows(entry: Mapping[str, object]) -> int:
    return cast("int", entry["rows"])


def _name(entry: Mapping[str, object]) -> str:
    return f"{entry['column']} = {entry['group']}"


def _sized(entry: Mapping[str, object]) -> str:
    return f"{_name(entry)} ({_rows(entry)} row{'' if _rows(entry) == 1 else 's'})"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join([*names[:SHOWN], *([f"and {rest:,} more"] if rest > 0 else [])])
