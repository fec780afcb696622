"""How far recent requests are from the training rows, and their answers from the model's to these rows.

`record.json` in the model's folder describes the training rows; see `distributions.record`. Each column has
up to ten bins: of numbers those with a tenth of the training rows each, of strings the nine most frequent
values and one bin for all others. Over the last 20 blocks of 250 to 500 rows

    PSI = Σ (q - p) ln(q / p)

is the population stability index, p being the training rows' share of a bin and q the requests'
(`distributions.effects.stability`, as the pipeline's own `psi`). By its usual reading, less than 0.1 is no
change and more than 0.25 a large one; n rows like the training's give about 9/n. Missing values are in no
bin; their share is a figure of its own. If the record describes the model's predictions for the training
rows, recent predictions are compared with them in the same way.
"""

import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ml_pipeline.columns.types import MICROSECONDS, missing_value
from ml_pipeline.columns.values import Array
from ml_pipeline.distributions import bins, effects, record
from ml_pipeline.distributions.bins import BINS
from ml_pipeline.distributions.effects import Floats, Integers
from ml_pipeline.distributions.record import Categories, Numbers, Record, RecordError
from ml_pipeline.model.loaded import Rows
from ml_pipeline.model.signature import Label
from ml_pipeline.serving.contract import RECORD
from ml_pipeline.serving.prometheus import escaped, head

BLOCK, BLOCKS = 250, 20  # rows are counted and forgotten by the block, which has at least so many
ENOUGH = 200  # rows with a value that a figure needs
MISSING = (missing_value("string"), None)  # of a string, in a graph's inputs and in a predictor's


@dataclass(frozen=True)
class _Column:
    """The bins of one column: the training rows in each, and how a value's bin is found."""

    name: str
    training: Integers  # rows in each bin [B], B at most BINS
    missing: float  # share of the training rows
    edges: Floats | None = None  # [B - 1], of numbers: bin k has values in (edges[k - 1], edges[k]]
    places: Mapping[Label | None, int] = field(default_factory=dict)  # of strings: value → bin; else the last

    def count(self, array: Array) -> Integers:
        """Count values, [N] or [N, 1], into [BINS + 1], whose last are the missing ones."""
        values = array.reshape(-1)
        if self.edges is None:
            last = len(self.training) - 1
            places = [self.places.get(value, last) for value in values.tolist()]
            return np.bincount(places, minlength=BINS + 1)
        numbers = values.astype(np.float64)
        present = numbers[~np.isnan(numbers)]
        counts = np.bincount(np.searchsorted(self.edges, present), minlength=BINS + 1)
        counts[BINS] = len(numbers) - len(present)
        return counts

    def stability(self, counts: Integers) -> float:
        """Return the index of counted rows [BINS + 1]."""
        return effects.stability(self.training, counts[: len(self.training)])


class Monitor:
    """Counts the inputs of a bounded number of recent rows. To be used from the event loop only."""

    def __init__(self, columns: Sequence[_Column], predictions: _Column | None) -> None:
        self._columns = columns
        self._predictions = [predictions] if predictions else []
        self._waiting: list[tuple[Mapping[str, Array], Sequence[Label]]] = []
        self._rows = 0  # in `_waiting` and `_counts`
        self._counts = self._none()  # of rows that are not in `_waiting` any more
        self._blocks: deque[Integers] = deque(maxlen=BLOCKS)  # each [columns and predictions, BINS + 1]

    def add(self, rows: Rows, predictions: Sequence[Label]) -> None:
        """Take rows and their answers; of more than a block's rows, a block of evenly spread ones.

        Rows of a large body are counted at once: they may be long strings, and to keep them takes memory.
        """
        step = -(-rows.count // BLOCK)
        columns = rows.columns
        if step > 1:
            columns, predictions = {name: columns[name][::step] for name in columns}, predictions[::step]
        self._waiting.append((columns, predictions))
        self._rows += -(-rows.count // step)
        if self._rows >= BLOCK:
            self._blocks.append(self._counted())
            self._counts, self._waiting, self._rows = self._none(), [], 0
        elif rows.is_large:
            self._counts, self._waiting = self._counted(), []

    def lines(self) -> list[str]:
        """Return the figures in Prometheus's format."""
        counts = sum(self._blocks, self._counted())
        inputs = list(zip(self._columns, counts, strict=False))  # the rest of `counts` are predictions
        rows = int(counts[0].sum()) if len(counts) else 0
        lines = [*head("ml_input_rows", "gauge", "Recent rows that the figures of inputs are about.")]
        lines += [f"ml_input_rows {rows}"]
        lines += head(
            "ml_input_stability", "gauge", "Population stability index of a column's recent values."
        )
        for column, counted in inputs:
            if counted[:BINS].sum() >= ENOUGH:
                lines.append(_sample("ml_input_stability", column.name, column.stability(counted)))
        lines += head("ml_input_missing", "gauge", "Share of a column's recent values that are missing.")
        if rows >= ENOUGH:
            lines += [_sample("ml_input_missing", c.name, counted[BINS] / rows) for c, counted in inputs]
        lines += head("ml_input_missing_training", "gauge", "The same share of the training rows.")
        lines += [_sample("ml_input_missing_training", c.name, c.missing) for c in self._columns]
        for column, counted in zip(self._predictions, counts[len(inputs) :], strict=True):
            lines += head(
                "ml_prediction_stability", "gauge", "Population stability index of recent predictions."
            )
            if counted[:BINS].sum() >= ENOUGH:
                lines.append(f"ml_prediction_stability {column.stability(counted):.6g}")
        return lines

    def _counted(self) -> Integers:
        """Count the rows since the last block [columns and predictions, BINS + 1]."""
        counts = self._counts.copy()
        if self._waiting:
            for at, column in enumerate(self._columns):
                counts[at] += column.count(np.concatenate([rows[column.name] for rows, _ in self._waiting]))
            for column in self._predictions:
                answers = [value for _, predictions in self._waiting for value in predictions]
                counts[-1] += column.count(np.array(answers, dtype=object))
        return counts

    def _none(self) -> Integers:
        return np.zeros((len(self._columns) + len(self._predictions), BINS + 1), dtype=np.int64)


def _sample(name: str, column: str, value: float) -> str:
    return f'{name}{{column="{escaped(column)}"}} {value:.6g}'


def read_record(folder: Path) -> Record | None:
    """Read the model's record.json; None where there is none.

    A record that can't be read is reported in one line on stderr and counts as none: the model is served
    all the same.
    """
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        return record.read(path)
    except RecordError as error:
        cause = f"{path} can't be read ({error}), so requests are not compared with the training rows"
        print(f"serve: {cause}; train again", file=sys.stderr, flush=True)
        return None


def monitor(described: Record, names: Sequence[str], classes: Sequence[Label]) -> Monitor:
    """Return a monitor of these columns and of predictions; those without a recorded value are left out."""
    columns = [
        _column(name, described.columns[name])
        for name in names
        if name in described.columns and described.columns[name].rows
    ]
    answers = described.predictions
    return Monitor(columns, _predictions(answers, classes) if answers and answers.rows else None)


def _column(name: str, column: record.Column) -> _Column:
    missing = column.missing / (column.rows + column.missing)
    if isinstance(column, Numbers):
        edges = bins.edges(column)
        unit = MICROSECONDS if column.type == "datetime" else 1.0
        return _Column(name, bins.counts(column, edges), missing, np.asarray(edges / unit, np.float64))
    if column.type == "boolean":
        training = np.array([column.counts.get(value, 0) for value in ("false", "true")])
        return _Column(name, training, missing, edges=np.array([0.0]))
    frequent = sorted(column.counts, key=lambda value: (-column.counts[value], value))[: BINS - 1]
    counts = [column.counts[value] for value in frequent]
    places: dict[Label | None, int] = {value: place for place, value in enumerate(frequent)}
    places |= dict.fromkeys(MISSING, BINS)
    return _Column(name, np.array([*counts, column.rows - sum(counts)]), missing, places=places)


def _predictions(answers: record.Column, classes: Sequence[Label]) -> _Column:
    """Return the bins of the model's answers to the training rows: of numbers, or of `classes`."""
    column = _column("", answers)
    if not isinstance(answers, Categories):
        return column
    last = len(column.training) - 1
    return replace(column, places={value: column.places.get(str(value), last) for value in classes})
