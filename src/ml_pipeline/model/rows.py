"""JSON's rows as arrays of a graph's element types, columns that are alike converted together.

A request has one row more often than not, and NumPy's cost is by call: converted column by column, 14
values cost more than the model does. Here they cost three calls or four.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from ml_pipeline.columns.types import FORMS, TIMES
from ml_pipeline.columns.values import Array
from ml_pipeline.model.signature import Column

_NONE = type(None)
EXACT = 2.0**53  # up to here each integer is a float64, and none is beyond float32


class Input(NamedTuple):
    """A graph's input for a column: its element type, and whether it is [N, 1] rather than [N]."""

    column: Column
    element: type[np.generic]
    is_matrix: bool


@dataclass(frozen=True)
class _Group:
    """Columns that are converted together."""

    names: tuple[str, ...]
    accepted: frozenset[type]
    element: type[np.generic]  # float32, float64 or object
    shape: tuple[int, ...]  # of one column
    nullable: bool
    largest: float  # beyond it a number needs more than a plain conversion

    def read(self, rows: Sequence[Mapping[str, object]]) -> Array | None:
        """Return the columns [K, *shape], None if a value needs more than a plain conversion."""
        values = [row.get(name) for name in self.names for row in rows]
        types = set(map(type, values))
        if not types <= self.accepted:
            return None
        shape = (len(self.names), *self.shape)
        if self.element is np.object_:
            if _NONE in types:
                values = [value or "" for value in values]
            elif not self.nullable and "" in values:
                return None
            return np.array(values, dtype=object).reshape(shape)
        array = np.array(values, dtype=np.float64)  # None becomes NaN
        if (np.abs(array) > self.largest).any():
            return None
        return array.astype(self.element, copy=False).reshape(shape)


class Reader:
    """Reads rows for one graph, whose inputs have the columns' names."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._names = {column.name for column, _, _ in inputs}
        alike: dict[tuple[str, bool, type[np.generic], bool], list[str]] = {}
        for column, element, is_matrix in inputs:
            alike.setdefault((column.type, column.nullable, element, is_matrix), []).append(column.name)
        self._groups = [
            _Group(
                tuple(names),
                FORMS[type_].exact | ({_NONE} if nullable else frozenset()),
                element,
                (-1, 1) if is_matrix else (-1,),
                nullable,
                -TIMES[0] if type_ == "datetime" else EXACT,
            )
            for (type_, nullable, element, is_matrix), names in alike.items()
        ]
        known = all(group.element in {np.object_, np.float32, np.float64} for group in self._groups)
        self._fits = known and not any(column.missing for column, _, _ in inputs)

    def read(self, rows: object) -> dict[str, Array] | None:
        """Return the graph's inputs; None where `from_rows` has to convert them, or say what is wrong."""
        if not self._fits or type(rows) is not list or set(map(type, rows)) != {dict}:
            return None
        if not self._names.issuperset(chain.from_iterable(rows)):
            return None
        arrays: dict[str, Array] = {}
        for group in self._groups:
            columns = group.read(rows)
            if columns is None:
                return None
            arrays.update(zip(group.names, columns, strict=True))
        return arrays
