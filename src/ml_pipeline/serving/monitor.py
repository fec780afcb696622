"""How far recent requests are from the training rows, and their answers from the model's to these rows.

`record.json` in the model folder describes the training rows: of a number its order statistics with their
ranks, of a string or a truth value its counts. Each column has up to ten bins: a number's by tenths of the
training rows, a string's its nine most frequent values and one for all others. Over the last 20 blocks of
250 to 500 rows

    PSI = Σ (q - p) ln(q / p)

is the population stability index, p being the training rows' share of a bin and q the requests', each at
least 1e-4 (the same index, with the same floor and the same bins, as the pipeline's own `psi`). By its
usual reading, less than 0.1 is no change and more than 0.25 a large one; of n rows like the training's
about 9/n is to be expected. Missing values are in no bin; their share is a figure of its own.
Predictions are binned as a column is, where the record says how the model answers the training rows.
"""

import json
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ml_pipeline.model.loaded import Rows
from ml_pipeline.serving.prometheus import escaped, head

FORMAT = 1
BINS = 10
BLOCK, BLOCKS = 250, 20  # rows are counted and forgotten a block at a time, of at least so many
ENOUGH = 200  # rows with a value before anything is said of a column
FLOOR = 1e-4
MISSING = ("", None)  # a graph's and a predictor's


@dataclass(frozen=True)
class _Column:
    """Bins of one column: `shares` of the training rows, and what tells a value's bin."""

    name: str
    shares: Any  # [B]
    missing: float  # the training rows' share
    edges: Any = None  # [B - 1], of a number: bin k has values in (edges[k - 1], edges[k]]
    places: Mapping[Any, int] = field(default_factory=dict)  # of a string; all others are in the last bin

    def count(self, array: Any) -> Any:
        """Count values, [N] or [N, 1], into [BINS + 1]: the last is the missing ones."""
        values = array.reshape(-1)
        if self.edges is None:
            last = len(self.shares) - 1
            places = [self.places.get(value, last) for value in values.tolist()]
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

    def __init__(self, columns: Sequence[_Column], predictions: _Column | None) -> None:
        self._columns = columns
        self._predictions = [predictions] if predictions else []
        self._waiting: list[tuple[Mapping[str, Any], Sequence[Any]]] = []
        self._rows = 0  # that wait to be counted
        self._blocks: deque[Any] = deque(maxlen=BLOCKS)  # each [columns and perhaps predictions, BINS + 1]

    def add(self, rows: Rows, predictions: Sequence[Any]) -> None:
        """Take note of rows and their answers; of more than a block's, of a block evenly from among them."""
        step = -(-rows.count // BLOCK)
        columns = rows.columns
        if step > 1:
            columns, predictions = {name: columns[name][::step] for name in columns}, predictions[::step]
        self._waiting.append((columns, predictions))
        self._rows += -(-rows.count // step)
        if self._rows >= BLOCK:
            self._blocks.append(self._counted())
            self._waiting, self._rows = [], 0

    def lines(self) -> list[str]:
        """The figures, as Prometheus reads them."""
        counts: Any = sum(self._blocks, self._counted())
        found = list(zip(self._columns, counts, strict=False))  # predictions are what is left of `counts`
        rows = int(counts[0].sum()) if len(counts) else 0
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
        lines += [_sample("ml_input_missing_training", c.name, c.missing) for c in self._columns]
        for column, counted in zip(self._predictions, counts[len(found) :], strict=True):
            lines += head(
                "ml_prediction_stability", "gauge", "Population stability index of recent predictions."
            )
            if counted[:BINS].sum() >= ENOUGH:
                lines.append(f"ml_prediction_stability {column.stability(counted):.6g}")
        return lines

    def _counted(self) -> Any:
        """What waits, [columns and perhaps predictions, BINS + 1]."""
        counts: Any = np.zeros((len(self._columns) + len(self._predictions), BINS + 1), dtype=np.int64)
        if self._waiting:
            for at, column in enumerate(self._columns):
                counts[at] = column.count(np.concatenate([rows[column.name] for rows, _ in self._waiting]))
            for column in self._predictions:
                answers = [value for _, predictions in self._waiting for value in predictions]
                counts[-1] = column.count(np.array(answers, dtype=object))
        return counts


def _sample(name: str, column: str, value: float) -> str:
    return f'{name}{{column="{escaped(column)}"}} {value:.6g}'


def monitor(folder: Path, names: Sequence[str], classes: Sequence[Any]) -> Monitor | None:
    """What `folder`/record.json says of these columns and of predictions; None where there is no record.

    Of a record that can't be read one line is said, and nothing measured: a model is served all the same.
    """
    path = folder / "record.json"
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']}, not {FORMAT}")
        recorded, answers = document["columns"], document.get("predictions")  # an older image has none
        columns = [_column(name, recorded[name]) for name in names if _rows(recorded.get(name))]
        return Monitor(columns, _predictions(answers, classes) if _rows(answers) else None)
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
    places: dict[Any, int] = {value: place for place, value in enumerate(most)}
    return _Column(name, shares, missing, places=places | dict.fromkeys(MISSING, BINS))


def _predictions(recorded: Mapping[str, Any], classes: Sequence[Any]) -> _Column:
    """What the model answers to the training rows: a column of numbers, or of `classes`."""
    column = _column("", recorded)
    if "counts" not in recorded:
        return column
    last = len(column.shares) - 1
    return replace(column, places={value: column.places.get(str(value), last) for value in classes})


def _shares(counts: Sequence[int]) -> Any:
    return np.array(counts) / sum(counts)
