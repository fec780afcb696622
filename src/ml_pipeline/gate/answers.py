"""The holdout's target and the images' answers, checked and in the form that metrics read."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_pipeline.columns import row_groups
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.gate import groups, metrics
from ml_pipeline.gate.arrays import Array, Floats, Integers, Numeric, Texts
from ml_pipeline.gate.documents import Settings
from ml_pipeline.gate.labels import class_indices
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.uncertainty.units import Units, blocks
from ml_pipeline.model.signature import Label, SignatureDocument

CONTRADICTED = 0.9  # of the rows; labels by a threshold that weighs costs differ from it in fewer


@dataclass(frozen=True)
class Task:
    """What the model predicts: one of `classes` (`positive` is an index in them), or a number."""

    classes: list[Label] | None
    positive: int | None = None

    @property
    def regression(self) -> bool:
        """Whether the model answers numbers."""
        return self.classes is None


@dataclass(frozen=True)
class Holdout:
    """The rows with all their columns, and their target: class indices [N], or float64 values [N]."""

    frame: pl.DataFrame
    truth: Numeric
    task: Task
    units: Units | None = None  # rows that belong together; None: each row is independent

    @property
    def indices(self) -> Integers:
        """The target as class indices [N]."""
        return self.truth.astype(np.int64, copy=False)

    @property
    def values(self) -> Floats:
        """The target of a regression [N]."""
        return self.truth.astype(np.float64, copy=False)


def task_of(settings: Settings, model: SignatureDocument) -> Task:
    """Read the classes from the model's signature, and which of them counts as 1."""
    if settings["task"] == "regression":
        return Task(None)
    classes = model.get("classes")
    if not classes:
        raise StageFailure("model.json names no classes", "list them in the order of the probabilities")
    positive = model.get("positive") if model.get("positive") is not None else settings.get("positive")
    if positive is None or len(classes) != 2:
        return Task(classes)
    index = int(class_indices([positive], classes)[0])
    if index < 0:
        cause = f"positive = {positive!r} is not one of the model's classes {classes}"
        raise StageFailure(cause, "correct [tool.ml-pipeline.data] positive")
    return Task(classes, index)


def truth_of(frame: pl.DataFrame, target: str, task: Task) -> Numeric:
    """Return the holdout's target: class indices [N], or float64 values [N]."""
    if target not in frame.columns:
        raise StageFailure(f"the holdout lacks the target {target!r}", "add the column to the holdout")
    column = frame[target]
    if column.null_count():
        cause = f"{column.null_count()} of {frame.height} holdout rows have no {target!r}"
        raise StageFailure(cause, "remove the rows without a target from the data")
    if task.classes is None:
        return column.cast(pl.Float64).to_numpy()
    if column.dtype in {pl.Categorical, pl.Enum}:
        column = column.cast(pl.String)
    truth = class_indices(column.to_list(), task.classes)
    if (truth < 0).any():
        unknown = column[int(np.flatnonzero(truth < 0)[0])]
        cause = (
            f"the holdout has class {unknown!r} of {target!r}, which the model does not know ({task.classes})"
        )
        raise StageFailure(cause, "add rows of every class to the training data, or remove the class")
    return truth


def answers_of(
    arrays: Mapping[str, Array], rows: int, task: Task, who: str = "candidate", what: str = "holdout rows"
) -> Answers:
    """Check an image's answers to `rows` rows and turn labels into class indices."""
    if "predictions" not in arrays:
        raise StageFailure(
            f"the {who}'s answers lack `predictions`", "make the batch command write this array"
        )
    predictions, probabilities = arrays["predictions"], arrays.get("probabilities")
    for array in (predictions, probabilities):
        if array is not None and len(array) != rows:
            cause = f"the {who} answered {len(array):,} of {rows:,} {what}"
            raise StageFailure(cause, "make the batch command answer each row once, in order")
    predictions = predictions.reshape(rows, -1)
    if predictions.shape[1] != 1:
        raise StageFailure(
            f"the {who}'s predictions have {predictions.shape[1]} columns",
            "make the batch command write one value for each row",
        )
    predictions = predictions[:, 0]
    if task.classes is not None:
        answers = Answers(class_indices(predictions, task.classes), probabilities)
        _check_classes(answers, predictions, task.classes, who)
        return answers
    try:
        return Answers(predictions.astype(np.float64))
    except ValueError:
        cause = f"the {who} predicted {predictions[0].item()!r} instead of a number"
        raise StageFailure(cause, "export a regression model, or correct [tool.ml-pipeline] task") from None


def _check_classes(answers: Answers, labels: Array, classes: list[Label], who: str) -> None:
    """Refuse an image with other classes: compared with one that is always wrong, any candidate passes."""
    valid = answers.predicted >= 0
    if not valid.any():
        cause = f"the {who} answers {labels[0].item()!r}, which is not one of the model's classes {classes}"
        raise StageFailure(cause, f"use a {who} that was trained on the same target")
    if metrics.probability_fault(answers.probabilities, len(classes)):
        return
    likeliest = np.asarray(answers.probabilities).argmax(axis=1)
    if np.mean((likeliest != answers.predicted)[valid]) > CONTRADICTED:
        cause = f"the {who}'s labels are hardly ever its most probable class: it has them in another order"
        raise StageFailure(cause, f"write them in the order of {classes}")


def members(frame: pl.DataFrame, column: str, kind: str) -> Texts:
    """Return the name of each row's group [N] in a column that the project named as `kind`."""
    if column not in frame.columns:
        cause = f"the {kind} column {column!r} is not in the holdout ({', '.join(frame.columns)})"
        raise StageFailure(cause, "correct the name in [tool.ml-pipeline.data]")
    return groups.members(frame[column])


def units_of(frame: pl.DataFrame, column: str | None, time: str | None = None) -> Units | None:
    """Return which rows belong together by `data.group`; a row without a value belongs to no other.

    Without a group these are blocks of rows that follow each other by `data.time`. A holdout in a file of its
    own may lack that column.
    """
    if column is None:
        if time not in frame.columns or frame[time].null_count():
            return None
        return blocks(frame[time].rank("ordinal").cast(pl.Int64).to_numpy() - 1)
    if column not in frame.columns:
        cause = f"the group column {column!r} is not in the holdout ({', '.join(frame.columns)})"
        raise StageFailure(cause, "add the column to the holdout, or correct [tool.ml-pipeline.data] group")
    return Units(row_groups.codes(frame[column]))
