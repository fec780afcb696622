"""JSON's rows as arrays of a graph's element types, the columns of one kind converted together.

A request has one row more often than not, and NumPy's cost is by call: converted column by column, 14
values cost more than the model does. Here they cost three calls or four.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from ml_pipeline.model.signature import Column

_NONE = type(None)
_TAKEN: dict[str, frozenset[type]] = {
    "integer": frozenset({int}),
    "number": frozenset({int, float}),
    "boolean": frozenset({bool}),
    "datetime": frozenset({int, float}),
    "string": frozenset({str}),
}
EXACT = 2.0**53  # up to here each integer is a float64, and none is beyond float32


@dataclass(frozen=True)
class _Kind:
    """Columns that are converted together."""

    names: tuple[str, ...]
    taken: frozenset[type]
    element: Any  # a NumPy type: float32, float64 or object
    shape: tuple[int, ...]  # of one column
    nullable: bool

    def read(self, rows: Sequence[Mapping[str, Any]]) -> Any | None:
        """The columns [K, *shape], or None where a value is not plainly right."""
        values = [row.get(name) for name in self.names for row in rows]
        found = set(map(type, values))
        if not found <= self.taken:
            return None
        shape = (len(self.names), *self.shape)
        if self.element is np.object_:
            if _NONE in found:
                values = [value or "" for value in values]
            elif not self.nullable and "" in values:
                return None
            return np.array(values, dtype=object).reshape(shape)
        array = np.array(values, dtype=np.float64)  # None becomes NaN
        if (np.abs(array) > EXACT).any():
            return None
        return array.astype(self.element, copy=False).reshape(shape)


class Reader:
    """Reads rows for one graph, whose inputs are named as the columns."""

    def __init__(self, inputs: Sequence[tuple[Column, Any, bool]]) -> None:
        """`inputs`: each column, its element type, and whether its shape is [N, 1] rather than [N]."""
        self._names = {column.name for column, _, _ in inputs}
        groups: dict[tuple[str, bool, Any, bool], list[str]] = {}
        for column, element, two in inputs:
            groups.setdefault((column.type, column.nullable, element, two), []).append(column.name)
        self._kinds = [
            _Kind(
                tuple(names),
                _TAKEN[kind] | ({_NONE} if nullable else frozenset()),
                element,
                (-1, 1) if two else (-1,),
                nullable,
            )
            for (kind, nullable, element, two), names in groups.items()
        ]
        self._fits = all(kind.element in {np.object_, np.float32, np.float64} for kind in self._kinds)

    def read(self, rows: Any) -> dict[str, Any] | None:
        """The graph's inputs, or None: then `from_rows` converts the slow way, or says what is wrong."""
        if not self._fits or type(rows) is not list or set(map(type, rows)) != {dict}:
            return None
        if not self._names.issuperset(chain.from_iterable(rows)):
            return None
        arrays: dict[str, Any] = {}
        for kind in self._kinds:
            read = kind.read(rows)
            if read is None:
                return None
            arrays.update(zip(kind.names, read, strict=True))
        return arrays
