"""How far recent requests are from the training rows, column by column, while the model serves.

`record.json` in the model folder describes the training rows: of a number its order statistics with their
ranks, of a string or a truth value its counts. Each column has up to ten bins: a number's by tenths of the
training rows, a string's its nine most frequent values and one for all others. Over the last 20 blocks of
250 to 500 rows

    PSI = Σ (q - p) ln(q / p)

is the population stability index, p being the training rows' share of a bin and q the requests', each at
least 1e-4 (the same index, with the same floor and the same bins, as the pipeline's own `psi`). By its
usual reading, less than 0.1 is no change and more than 0.25 a large one; of n rows like the training's
about 9/n is to be expected. Missing values are in no bin; their share is a figure of its own.
"""

import json
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ml_pipeline.stages.model import Rows
from ml_pipeline.stages.serving.text import escaped, head

FORMAT = 1
BINS = 10
BLOCK, BLOCKS = 250, 20  # rows are counted and forgotten a block at a time, of at least so many
ENOUGH = 200  # rows with a value before anything is said of a column
FLOOR = 1e-4


@dataclass(frozen=True)
class _Column:
    """Bins of one column: `shares` of the training rows, and what tells a value's bin."""

    name: str
    shares: Any  # [B]
    missing: float  # the training rows' share
    edges: Any = None  # [B - 1], of a number: bin k has values in (edges[k - 1], edges[k]]
    places: Mapping[str, int] = field(default_factory=dict)  # of a string; all others are in the last bin

    def count(self, array: Any) -> Any:
        """Count values, [N] or [N, 1], into [BINS + 1]: the last is the missing ones."""
        values = array.reshape(-1)
        if self.edges is None:
            last = len(self.shares) - 1
            places = [self.places.get(value, last) if value else BINS for value in values.tolist()]
            return np.bincount(places, minlength=BINS + 1)
        numbers = values.astype(np.float64)
        there = numbers[~np.isnan(numbers)]
        counts = np.bincount(np.searchsorted(self.edges, there), minlength=BINS + 1)
        counts[BINS] = len(numbers) - len(there)
        return counts

    def stability(self, counts: Any) -> float:
        """The index of counted rows [BINS + 1]."""
        seen = counts[: len(self.shares)]
        p, q = np.maximum(self.shares, FLOOR), np.maximum(seen / seen.sum(), FLOOR)
        return float(((q - p) * np.log(q / p)).sum())


class Monitor:
    """Counts the inputs of a bounded number of recent rows. Used from the event loop only."""

    def __init__(self, columns: Sequence[_Column]) -> None:
        self._columns = columns
        self._waiting: list[Mapping[str, Any]] = []
        self._rows = 0  # that wait to be counted
        self._blocks: deque[Any] = deque(maxlen=BLOCKS)  # each [columns, BINS + 1]

    def add(self, rows: Rows) -> None:
        """Take note of rows that were answered; of more than a block's, of a block evenly from among them."""
        step = -(-rows.count // BLOCK)
        columns = rows.columns
        self._waiting.append(columns if step == 1 else {name: columns[name][::step] for name in columns})
        self._rows += -(-rows.count // step)
        if self._rows >= BLOCK:
            self._blocks.append(self._counted())
            self._waiting, self._rows = [], 0

    def lines(self) -> list[str]:
        """The figures, as Prometheus reads them."""
        counts: Any = sum(self._blocks, self._counted())
        found = list(zip(self._columns, counts, strict=True))
        rows = int(counts[0].sum()) if found else 0
        lines = [*head("ml_input_rows", "gauge", "Recent rows that the figures of inputs are about.")]
        lines += [f"ml_input_rows {rows}"]
        lines += head(
            "ml_input_stability", "gauge", "Population stability index of a column's recent values."
        )
        for column, counted in found:
            if counted[:BINS].sum() >= ENOUGH:
                lines.append(_sample("ml_input_stability", column.name, column.stability(counted)))
        lines += head("ml_input_missing", "gauge", "Share of a column's recent values that are missing.")
        if rows >= ENOUGH:
            lines += [_sample("ml_input_missing", c.name, counted[BINS] / rows) for c, counted in found]
        lines += head("ml_input_missing_training", "gauge", "The same share of the training rows.")
        return lines + [_sample("ml_input_missing_training", c.name, c.missing) for c in self._columns]

    def _counted(self) -> Any:
        """What waits, [columns, BINS + 1]."""
        counts: Any = np.zeros((len(self._columns), BINS + 1), dtype=np.int64)
        if self._waiting:
            for at, column in enumerate(self._columns):
                counts[at] = column.count(np.concatenate([part[column.name] for part in self._waiting]))
        return counts


def _sample(name: str, column: str, value: float) -> str:
    return f'{name}{{column="{escaped(column)}"}} {value:.6g}'


def monitor(folder: Path, names: Sequence[str]) -> Monitor | None:
    """What `folder`/record.json says of the columns by these names; None where there is no record.

    Of a record that can't be read one line is said, and nothing measured: a model is served all the same.
    """
    path = folder / "record.json"
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']}, not {FORMAT}")
        recorded = document["columns"]
        return Monitor([_column(name, recorded[name]) for name in names if _rows(recorded.get(name))])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        cause = f"{path} can't be read ({type(error).__name__}: {error})"
        print(f"serve: {cause}; inputs are not compared with it: train again", file=sys.stderr, flush=True)
        return None


def _rows(recorded: Mapping[str, Any] | None) -> int:
    """How many values the record is about."""
    if recorded is None:
        return 0
    if "counts" in recorded:
        return int(sum(recorded["counts"].values()) + recorded["other"])
    return int(recorded["upto"][-1]) if recorded["upto"] else 0


def _column(name: str, recorded: Mapping[str, Any]) -> _Column:
    rows = _rows(recorded)
    missing = recorded["missing"] / (rows + recorded["missing"])
    if "counts" not in recorded:
        values, upto = np.array(recorded["values"], dtype=np.float64), np.array(recorded["upto"])
        if recorded["kind"] == "datetime":
            values = values / 1e6  # a record has microseconds, requests seconds
        at = np.unique(np.searchsorted(upto, np.arange(1, BINS) / BINS * rows))
        shares = np.diff(np.concatenate([[0], upto[at], [rows]])) / rows
        return _Column(name, shares, missing, edges=values[at])
    counts = recorded["counts"]
    if recorded["kind"] == "boolean":
        return _Column(name, _shares([counts.get("false", 0), counts.get("true", 0)]), missing, edges=[0.0])
    most = sorted(counts, key=lambda value: (-counts[value], value))[: BINS - 1]
    shares = _shares([*(counts[value] for value in most), rows - sum(counts[value] for value in most)])
    return _Column(name, shares, missing, places={value: place for place, value in enumerate(most)})


def _shares(counts: Sequence[int]) -> Any:
    return np.array(counts) / sum(counts)
