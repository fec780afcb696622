"""How a graph's predictions are distributed on its own training rows: what later ones are compared with."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.distributions import record
from ml_pipeline.model.graph import Graph
from ml_pipeline.model.inspecting.graphs import DECLARE, array, signature
from ml_pipeline.model.signature import Column

AT_ONCE = 10_000  # rows


def distribution(
    path: Path, rows: Any, columns: Sequence[Column], classes: Sequence[Any] | None
) -> record.Column:
    """Count the predictions of each class; of a regression, keep what a record keeps of numbers.

    Rows that lack what the graph needs are left out. Raises `StageFailure` where it fails on a row.
    """
    graph = Graph(path, signature(columns, classes), 1)
    needed = [column.name for column in columns if not graph.takes_missing(column.name)]
    rows = rows.select([column.name for column in columns]).drop_nulls(needed)
    predictions: list[Any] = []
    for part in rows.iter_slices(AT_ONCE):
        try:
            predictions += graph.run(
                {column.name: array(part[column.name], column.type) for column in columns}
            )[0]
        except Exception as error:  # ONNX Runtime's have no common class but this
            raise StageFailure(f"model.onnx fails on training rows: {one_line(error)}", DECLARE) from error
    if classes is not None:
        counted = Counter(predictions)
        return record.Categories("string", {str(value): counted[value] for value in classes}, 0)
    values = np.array(predictions, dtype=np.float64)
    there = values[~np.isnan(values)]
    return record.compact(record.Numbers("number", np.sort(there), len(values) - len(there)))
