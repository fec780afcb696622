"""The project's own `predictor.py`: `load(folder)` once, then `predict(rows)`."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ml_pipeline.columns.values import Array, plain
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model.signature import Label, Signature
from ml_pipeline.model.values import from_rows

HINT = "let predict(rows) return one prediction for each row, in the order of the rows"


class Predictor:
    """`predictor.py`, loaded. Takes columns of objects [N], None where a value is missing."""

    def __init__(self, folder: Path, signature: Signature) -> None:
        path = folder / "predictor.py"
        specification = importlib.util.spec_from_file_location("predictor", path)
        if not path.is_file() or specification is None or specification.loader is None:
            raise StageFailure(f"{path} does not exist", "write it into ML_OUTPUT, or export model.onnx")
        sys.path.insert(0, str(folder))  # it can import the files beside it
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
            raise StageFailure(cause, "fix it, and declare the packages that it imports") from error
        # Any: the project's own code may return anything.
        self._predict: Callable[[list[dict[str, object]]], Any] = module.predict
        self._columns = signature.columns

    def inputs(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Return columns of Python's own values, whose types do not depend on their neighbours."""
        inputs: dict[str, Array] = {}
        for column in self._columns:
            values = plain(arrays[column.name], column.type)
            inputs[column.name] = np.fromiter(values, dtype=object, count=len(values))
        return inputs

    def read(self, rows: object) -> dict[str, Array]:
        """Return the columns of JSON's rows. Raises `BadInput`."""
        return self.inputs(from_rows(rows, self._columns))

    def answer(self, inputs: Mapping[str, Array]) -> tuple[list[Label], npt.NDArray[np.float32] | None]:
        """Return predictions [N] and, where `predict` gives them, probabilities [N, C] in float32.

        `predict` gets the rows as dicts, None where a value is missing, a datetime as seconds since 1970.
        """
        names = [column.name for column in self._columns]
        lists = [inputs[name].tolist() for name in names]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*lists, strict=True)]
        answer = self._predict(rows)
        probabilities = None
        if isinstance(answer, Mapping):
            probabilities, answer = answer.get("probabilities"), answer["predictions"]
        predictions = answer.tolist() if hasattr(answer, "tolist") else list(answer)
        if len(predictions) != len(rows):
            raise StageFailure(f"predict() returned {len(predictions)} values for {len(rows)} rows", HINT)
        if probabilities is not None:
            probabilities = np.ascontiguousarray(probabilities, dtype=np.float32)
        return predictions, probabilities
