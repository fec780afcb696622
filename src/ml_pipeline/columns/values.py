"""The values of a column's array [N]: which are missing, and what each is in JSON."""

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
_WHOLE = {"integer": int, "boolean": bool}  # float64 where some values are missing


def missing(array: Array) -> npt.NDArray[np.bool_]:
    """Return where the array has no value [N]."""
    if array.dtype.kind in "OU":
        return np.asarray(array == "", np.bool_)  # an array of strings compares as a whole
    return np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), dtype=np.bool_)


def plain(array: Array, column_type: str) -> list[str | float | bool | None]:
    """Return the values as JSON has them: None where one is missing, a datetime as seconds since 1970."""
    values = array.tolist()
    if column_type == "string":
        return [value or None for value in values]
    if array.dtype.kind != "f":
        return list(values)
    whole = _WHOLE.get(column_type, float)
    return [None if math.isnan(value) else whole(value) for value in values]
