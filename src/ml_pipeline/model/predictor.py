"""The project's own `predictor.py`: `load(folder)` once, then `predict(rows)`."""

import importlib.util
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model.signature import Column, Signature
from ml_pipeline.model.values import from_rows

HINT = "let predict(rows) return one prediction a row, in the rows' order"


class Predictor:
    """`predictor.py`, loaded. Takes columns of objects [N], None where missing."""

    def __init__(self, folder: Path, signature: Signature) -> None:
        path = folder / "predictor.py"
        specification = importlib.util.spec_from_file_location("predictor", path)
        if not path.is_file() or specification is None or specification.loader is None:
            raise StageFailure(f"{path} is not there", "write it into ML_OUTPUT, or export model.onnx")
        sys.path.insert(0, str(folder))  # what lies beside it can be imported
        module = importlib.util.module_from_spec(specification)
        sys.modules["predictor"] = module
        try:
            specification.loader.exec_module(module)
            for name in ("load", "predict"):
                if not callable(getattr(module, name, None)):
                    raise StageFailure(f"predictor.py has no function {name!r}", "see the training contract")
            module.load(str(folder))
        except StageFailure:
            raise
        except Exception as error:
            cause = f"predictor.py can't be loaded ({type(error).__name__}: {one_line(error)})"
            raise StageFailure(cause, "mend it, and declare what it imports") from error
        self._predict = module.predict
        self._columns = signature.columns

    def inputs(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Columns of Python's own values, which don't depend on what they are joined with."""
        return {column.name: _objects(column, arrays[column.name]) for column in self._columns}

    def read(self, rows: Any) -> dict[str, Any]:
        """JSON's rows. Raises `BadInput`."""
        return self.inputs(from_rows(rows, self._columns))

    def answer(self, inputs: Mapping[str, Any]) -> tuple[list[Any], Any | None]:
        """Rows as dicts, None where missing; times are seconds since 1970."""
        names = [column.name for column in self._columns]
        lists = [inputs[name].tolist() for name in names]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*lists, strict=True)]
        answer = self._predict(rows)
        probabilities = None
        if isinstance(answer, Mapping):
            probabilities, answer = answer.get("probabilities"), answer["predictions"]
        predictions = answer.tolist() if hasattr(answer, "tolist") else list(answer)
        if len(predictions) != len(rows):
            raise StageFailure(f"predict() answered {len(predictions)} for {len(rows)} rows", HINT)
        if probabilities is not None:
            probabilities = np.ascontiguousarray(probabilities, dtype=np.float32)
        return predictions, probabilities


def _objects(column: Column, array: Any) -> Any:
    objects: Any = np.empty(len(array), dtype=object)
    objects[:] = _values(column, array)
    return objects


def _values(column: Column, array: Any) -> Sequence[Any]:
    values: list[Any] = array.tolist()
    if column.type == "string":
        return [value or None for value in values]
    if array.dtype.kind == "f":
        whole = {"integer": int, "boolean": bool}.get(column.type, float)
        return [None if math.isnan(value) else whole(value) for value in values]
    return values
