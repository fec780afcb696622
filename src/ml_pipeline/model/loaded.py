"""Load a model folder: columns in, predictions out, whether ONNX Runtime or `predictor.py` answers."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ml_pipeline.columns.values import Array
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model.graph import Graph
from ml_pipeline.model.predictor import HINT, Predictor
from ml_pipeline.model.signature import TRAIN_AGAIN, Column, Label, Signature, read_signature
from ml_pipeline.model.values import from_rows
from ml_pipeline.serving.contract import SIGNATURE


@dataclass(frozen=True)
class Answer:
    """The model's answer to N rows: predictions [N] and, where it gives them, probabilities [N, C]."""

    predictions: list[Label]
    probabilities: npt.NDArray[np.float32] | None  # float32; None for a regression too


@dataclass(frozen=True)
class Rows:
    """Rows that were checked: columns [N] or [N, 1] in the types that the runtime takes.

    `is_large`: they came in a large body, so what keeps them takes much memory.
    """

    count: int
    columns: Mapping[str, Array]
    is_large: bool = False


class _Runtime(Protocol):
    def inputs(self, arrays: Mapping[str, Array]) -> dict[str, Array]: ...
    def read(self, rows: object) -> dict[str, Array]: ...
    def answer(self, inputs: Mapping[str, Array]) -> tuple[list[Label], npt.NDArray[np.float32] | None]: ...


@dataclass(frozen=True)
class Model:
    """A loaded model.

    `columns` are those of the signature; where a graph has no value for "missing" they are not nullable.
    """

    signature: Signature
    columns: tuple[Column, ...]
    _runtime: _Runtime

    def rows(self, arrays: Mapping[str, Array]) -> Rows:
        """Return columns [N] (see `columns.types`) in the runtime's types.

        Raises `BadInput` for a value that these can't hold.
        """
        count = len(next(iter(arrays.values())))
        return Rows(count, self._runtime.inputs(arrays))

    def read(self, instances: object) -> Rows:
        """Read JSON's list of objects, checked against the columns. Raises `BadInput`."""
        return Rows(len(instances) if type(instances) is list else 0, self._runtime.read(instances))

    def answer(self, rows: Rows) -> Answer:
        """Answer rows. Any exception is a failure of the model itself."""
        predictions, probabilities = self._runtime.answer(rows.columns)
        return Answer(predictions, probabilities)

    def predict(self, arrays: Mapping[str, Array]) -> Answer:
        """Answer columns. Raises `BadInput` as `rows` does."""
        return self.answer(self.rows(arrays))


def join(parts: Sequence[Rows]) -> Rows:
    """Return several tables as one, in their order. Values do not change: their types are the runtime's."""
    if len(parts) == 1:
        return parts[0]
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Rows(sum(part.count for part in parts), columns)


def load(folder: Path, threads: int | None = None) -> Model:
    """Load the model in `folder` and let it answer its example, so that the next answer is fast.

    `threads` bounds ONNX Runtime's; by default they are the processors that this process may use.
    Raises `StageFailure` when the folder has no model that can be served.
    """
    path = folder / SIGNATURE
    signature = read_signature(path, "mount the model's folder, or name it by ML_MODEL or --model")
    _require_served(signature, path)
    columns = signature.columns
    runtime: _Runtime
    if signature.runtime == "onnx":
        runtime = graph = Graph(folder / "model.onnx", signature, threads or processors())
        columns = graph.columns
    else:
        runtime = Predictor(folder, signature)
    model = Model(signature, columns, runtime)
    # Three rows: an output that is one row or two columns by accident can't pass for [N].
    try:
        answer = model.predict(from_rows([signature.example] * 3, columns))
    except StageFailure:
        raise
    except Exception as error:
        cause = f"the model fails on its own example ({type(error).__name__}: {one_line(error)})"
        raise StageFailure(cause, "fix the model, or train again") from error
    _check(answer, signature)
    return model


def _require_served(signature: Signature, path: Path) -> None:
    if signature.runtime is None:
        cause = f"{path} has runtime null: the training wrote metrics alone"
        raise StageFailure(cause, "let it write model.onnx or predictor.py")
    if signature.task == "classification" and len(signature.classes) < 2:
        raise StageFailure(f"{path} names {len(signature.classes)} classes, fewer than 2", TRAIN_AGAIN)
    if not signature.columns:
        raise StageFailure(f"{path} names no columns", TRAIN_AGAIN)


def processors() -> int:
    """Return how many processors this process may use, by its affinity and its container's share of time."""
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return count if quota == "max" else max(1, min(count, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return count


def _check(answer: Answer, signature: Signature) -> None:
    if signature.task == "regression":
        if not all(type(value) in {int, float} for value in answer.predictions):
            raise StageFailure(f"the model predicts {answer.predictions[0]!r}, not a number", HINT)
        return
    for value in answer.predictions:
        if value not in signature.classes:
            shown = ", ".join(map(repr, signature.classes[:6]))
            raise StageFailure(f"the model predicts {value!r}, which is not one of its classes {shown}", HINT)
    if answer.probabilities is not None:
        _check_probabilities(answer.probabilities, (len(answer.predictions), len(signature.classes)))


def _check_probabilities(probabilities: npt.NDArray[np.float32], shape: Sequence[int]) -> None:
    if probabilities.shape != tuple(shape):
        cause = f"the model's probabilities have shape {list(probabilities.shape)}, not {list(shape)}"
        raise StageFailure(cause, "give one column a class, in the order of the classes")
    sums = probabilities.sum(axis=1)
    if (probabilities < -1e-6).any() or not np.allclose(sums, 1, atol=1e-3):
        cause = f"the model's probabilities do not sum to 1 in each row (the example's: {sums[0]:.4g})"
        raise StageFailure(cause, "end the graph with a softmax")
