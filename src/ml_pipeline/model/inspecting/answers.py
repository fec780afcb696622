"""How a graph's predictions for the training rows are distributed, for comparison with later predictions."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from ml_pipeline.columns.arrays import to_array
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.distributions import record
from ml_pipeline.model.graph import Graph
from ml_pipeline.model.inspecting.graphs import DECLARE, signature
from ml_pipeline.model.signature import Column, Label

AT_ONCE = 10_000  # rows


def distribution(
    path: Path, rows: pl.DataFrame, columns: Sequence[Column], classes: Sequence[Label] | None
) -> record.Column:
    """Count the predictions of each class; of a regression, return what a record keeps of numbers.

    Rows that lack a value that the graph needs are left out. Raises `StageFailure` where it fails on a row.
    """
    graph = Graph(path, signature(columns, classes), 1)
    needed = [column.name for column in columns if not graph.takes_missing(column.name)]
    rows = rows.select([column.name for column in columns]).drop_nulls(needed)
    predictions: list[Label] = []
    for part in rows.iter_slices(AT_ONCE):
        try:
            predictions += graph.run({c.name: to_array(part[c.name], c.type) for c in columns})[0]
        except Exception as error:  # ONNX Runtime's errors have no other common class
            raise StageFailure(f"model.onnx fails on training rows: {one_line(error)}", DECLARE) from error
    if classes is not None:
        counted = Counter(predictions)
        return record.Categories("string", {str(value): counted[value] for value in classes}, 0)
    values = np.array(predictions, dtype=np.float64)
    present = values[~np.isnan(values)]
    return record.compact(record.Numbers("number", np.sort(present), len(values) - len(present)))
