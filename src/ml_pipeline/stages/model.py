"""Load a model folder: columns in, predictions out, whether ONNX Runtime or `predictor.py` answers."""

import importlib.util
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ml_pipeline.stages.outcome import StageFailure
from ml_pipeline.stages.serving.columns import from_rows
from ml_pipeline.stages.serving.graph import Graph
from ml_pipeline.stages.serving.signature import Column, Signature, read_signature

_PREDICTOR_HINT = "let predict(rows) return one prediction a row, in the rows' order"


@dataclass(frozen=True)
class Answer:
    """What the model says of N rows: predictions [N], and for classification probabilities [N, C] or None."""

    predictions: list[Any]
    probabilities: Any | None


class _Runtime(Protocol):
    def run(self, arrays: Mapping[str, Any]) -> tuple[list[Any], Any | None]: ...


@dataclass(frozen=True)
class Model:
    """A loaded model. `columns` are what it takes; fewer are nullable than signed where a graph can't."""

    signature: Signature
    columns: tuple[Column, ...]
    _runtime: _Runtime

    def predict(self, arrays: Mapping[str, Any]) -> Answer:
        """Answer columns of N values each (see `serving.columns`).

        Raises `BadInput` for a value that the graph's types can't hold; whatever else escapes is
        the model's own failure.
        """
        predictions, probabilities = self._runtime.run(arrays)
        return Answer(predictions, probabilities)


def load(folder: Path, threads: int | None = None) -> Model:
    """Load the model in `folder` and let it answer its example, so that the next answer is fast.

    `threads` bounds ONNX Runtime's; by default they are the processors that this process may use.
    Raises `StageFailure` when the folder has no model that can be served.
    """
    signature = read_signature(folder)
    columns = signature.columns
    runtime: _Runtime
    if signature.runtime == "onnx":
        graph = Graph(folder / "model.onnx", signature, threads or processors())
        columns = tuple(
            replace(column, nullable=column.nullable and graph.takes_missing(column.name))
            for column in columns
        )
        runtime = graph
    else:
        runtime = _Predictor(folder, signature)
    model = Model(signature, columns, runtime)
    # Three rows: an output that is one row or two columns by accident can't pass for [N].
    try:
        answer = model.predict(from_rows([signature.example] * 3, columns))
    except StageFailure:
        raise
    except Exception as error:
        cause = f"the model fails on its own example ({type(error).__name__}: {_line(error)})"
        raise StageFailure(cause, "mend the model, or train again") from error
    _check(answer, signature)
    return model


def processors() -> int:
    """How many processors this process may use: its affinity, and its container's share of time."""
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return count if quota == "max" else max(1, min(count, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return count


class _Predictor:
    """The project's own `predictor.py`: `load(folder)` once, then `predict(rows)`."""

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
            cause = f"predictor.py can't be loaded ({type(error).__name__}: {_line(error)})"
            raise StageFailure(cause, "mend it, and declare what it imports") from error
        self._predict = module.predict
        self._columns = signature.columns

    def run(self, arrays: Mapping[str, Any]) -> tuple[list[Any], Any | None]:
        """Rows as dicts, None where missing; times are seconds since 1970."""
        lists = [_values(column, arrays[column.name]) for column in self._columns]
        names = [column.name for column in self._columns]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*lists, strict=True)]
        answer = self._predict(rows)
        probabilities = None
        if isinstance(answer, Mapping):
            probabilities, answer = answer.get("probabilities"), answer["predictions"]
        predictions = answer.tolist() if hasattr(answer, "tolist") else list(answer)
        if len(predictions) != len(rows):
            raise StageFailure(f"predict() answered {len(predictions)} for {len(rows)} rows", _PREDICTOR_HINT)
        if probabilities is not None:
            probabilities = np.ascontiguousarray(probabilities, dtype=np.float32)
        return predictions, probabilities


def _values(column: Column, array: Any) -> list[Any]:
    values: list[Any] = array.tolist()
    if column.type == "string":
        return [value or None for value in values]
    if array.dtype.kind == "f":
        whole = {"integer": int, "boolean": bool}.get(column.type, float)
        return [None if math.isnan(value) else whole(value) for value in values]
    return values


def _check(answer: Answer, signature: Signature) -> None:
    if signature.task == "regression":
        if not all(type(value) in {int, float} for value in answer.predictions):
            raise StageFailure(f"the model predicts {answer.predictions[0]!r}, not a number", _PREDICTOR_HINT)
        return
    for value in answer.predictions:
        if value not in signature.classes:
            shown = ", ".join(map(repr, signature.classes[:6]))
            raise StageFailure(f"the model predicts {value!r}, which is no class of {shown}", _PREDICTOR_HINT)
    if answer.probabilities is not None:
        _check_probabilities(answer.probabilities, (len(answer.predictions), len(signature.classes)))


def _check_probabilities(probabilities: Any, shape: Sequence[int]) -> None:
    if probabilities.shape != tuple(shape):
        cause = f"the model's probabilities have shape {list(probabilities.shape)}, not {list(shape)}"
        raise StageFailure(cause, "give one column a class, in the order of the classes")
    sums = probabilities.sum(axis=1)
    if (probabilities < -1e-6).any() or not np.allclose(sums, 1, atol=1e-3):
        cause = f"the model's probabilities do not sum to 1 in each row (the example's: {sums[0]:.4g})"
        raise StageFailure(cause, "end the graph with a softmax")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
