"""The ledger for people and programs: rows of plain values, and a table of text; pure."""

import time
from collections.abc import Mapping, Sequence

from ml_pipeline.release.ledger import FAILED, SERVING, Entry, Ledger


def as_rows(ledger: Ledger, now: float) -> list[Mapping[str, object]]:
    """Return the releases as plain values, newest first, with the seconds that each served."""
    return [
        {
            "revision": entry.revision,
            "digest": entry.digest,
            "image": entry.image,
            "version": entry.version,
            "commit": entry.commit,
            "by": entry.by,
            "time": entry.started or None,
            "verdict": entry.verdict,
            "strategy": entry.strategy,
            "outcome": entry.outcome,
            "served_s": _served(entry, now),
            "why": entry.why,
        }
        for entry in reversed(ledger)
    ]


def _served(entry: Entry, now: float) -> float | None:
    if entry.outcome == FAILED or not entry.started or not (entry.ended or entry.outcome == SERVING):
        return None
    return round((entry.ended or now) - entry.started, 1)


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return the rows as a table of text."""
    head = (
        "REVISION",
        "OUTCOME",
        "DIGEST",
        "VERSION",
        "RELEASED",
        "SERVED",
        "STRATEGY",
        "VERDICT",
        "BY",
        "COMMIT",
    )
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: Mapping[str, object]) -> tuple[str, ...]:
    started, served = row["time"], row["served_s"]
    digest = str(row["digest"]).removeprefix("sha256:")[:12]
    return (
        str(row["revision"]),
        str(row["outcome"]),
        digest,
        str(row["version"] or "-"),
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started))
        if isinstance(started, int | float)
        else "-",
        f"{served:.0f} s" if isinstance(served, int | float) else "-",
        *(str(row[key] or "-") for key in ("strategy", "verdict", "by")),
        str(row["commit"] or "-")[:12],
    )
