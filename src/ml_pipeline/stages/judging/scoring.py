"""From an image's predictions and the holdout to everything that a verdict says about quality."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from ml_pipeline.stages.judging import groups, metrics
from ml_pipeline.stages.judging.groups import Group, Grouping
from ml_pipeline.stages.judging.metrics import Answers, Scores
from ml_pipeline.stages.outcome import StageFailure

FAIRNESS = ("demographic_parity_difference", "equalized_odds_difference")


@dataclass(frozen=True)
class Task:
    """What the model answers: a class out of `classes` (`positive` is an index in them), or a number."""

    classes: list[Any] | None
    positive: int | None = None

    @property
    def regression(self) -> bool:
        """Whether the model answers numbers."""
        return self.classes is None


@dataclass(frozen=True)
class Holdout:
    """The rows with all their columns, and their target: class indices [N], or float64 values [N]."""

    frame: pl.DataFrame
    truth: Any
    task: Task


@dataclass
class Quality:
    """The scores of one image on the holdout, by group too, and its curves."""

    scores: Scores = field(default_factory=Scores)
    groups: list[Group] = field(default_factory=list)
    fairness: list[dict[str, Any]] = field(default_factory=list)
    curves: dict[str, Any] = field(default_factory=dict)


def task_of(settings: Mapping[str, Any], model: Mapping[str, Any]) -> Task:
    """Read the classes from the model's signature, and which of them counts as 1."""
    if settings["task"] == "regression":
        return Task(None)
    classes = model.get("classes")
    if not classes:
        raise StageFailure("model.json names no classes", "list them in the order of the probabilities")
    wanted = model.get("positive") if model.get("positive") is not None else settings.get("positive")
    if wanted is None or len(classes) != 2:
        return Task(classes)
    index = int(metrics.class_indices([wanted], classes)[0])
    if index < 0:
        cause = f"positive = {wanted!r} is none of the model's classes {classes}"
        raise StageFailure(cause, "correct [tool.ml-pipeline.data] positive")
    return Task(classes, index)


def truth_of(frame: pl.DataFrame, target: str, task: Task) -> Any:
    """Return the holdout's target: class indices [N], or float64 values [N]."""
    if target not in frame.columns:
        raise StageFailure(f"the holdout lacks the target {target!r}", "add the column to the holdout")
    column = frame[target]
    if column.null_count():
        cause = f"{column.null_count()} of {frame.height} holdout rows have no {target!r}"
        raise StageFailure(cause, "take the rows without a target out of the data")
    if task.classes is None:
        return column.cast(pl.Float64).to_numpy()
    if column.dtype in {pl.Categorical, pl.Enum}:
        column = column.cast(pl.String)
    truth = metrics.class_indices(column.to_list(), task.classes)
    if (truth < 0).any():
        unknown = column[int(np.flatnonzero(truth < 0)[0])]
        cause = (
            f"the holdout has class {unknown!r} of {target!r}, which the model does not know ({task.classes})"
        )
        raise StageFailure(cause, "give the training data rows of every class, or take the class out")
    return truth


def answers_of(arrays: Mapping[str, Any], rows: int, task: Task, who: str = "candidate") -> Answers:
    """Check an image's answers to `rows` rows and turn labels into class indices."""
    if "predictions" not in arrays:
        raise StageFailure(
            f"the {who}'s answers lack `predictions`", "let the batch command write that array"
        )
    predictions, probabilities = arrays["predictions"], arrays.get("probabilities")
    for array in (predictions, probabilities):
        if array is not None and len(array) != rows:
            cause = f"the {who} answered {len(array):,} of {rows:,} holdout rows"
            raise StageFailure(cause, "let the batch command answer each row once, in order")
    predictions = predictions.reshape(rows, -1)
    if predictions.shape[1] != 1:
        raise StageFailure(
            f"the {who}'s predictions have {predictions.shape[1]} columns", "answer one value a row"
        )
    predictions = predictions[:, 0]
    if task.classes is not None:
        return Answers(metrics.class_indices(predictions, task.classes), probabilities)
    try:
        return Answers(predictions.astype(np.float64))
    except ValueError:
        cause = f"the {who} predicted {predictions[0].item()!r} where a number is wanted"
        raise StageFailure(cause, "export a regression model, or correct [tool.ml-pipeline] task") from None


def judge_quality(holdout: Holdout, answers: Answers, columns: Mapping[str, Sequence[str]]) -> Quality:
    """Score the answers on the whole holdout and in each group of `columns` (kind → names)."""
    quality = Quality(scores=_scores(holdout, answers), curves=_curves(holdout, answers))
    for kind, names in columns.items():
        for column in names:
            found = _groups(Grouping(column, kind, _members(holdout.frame, column, kind)), holdout, answers)
            quality.groups += found
            if kind == "sensitive" and (apart := groups.differences(found)):
                quality.fairness.append({"column": column, **apart})
    for name in FAIRNESS:
        worst = [entry[name] for entry in quality.fairness if name in entry]
        if worst:
            quality.scores.values[name] = max(worst)
        else:
            quality.scores.missing[name] = _why_unfair_is_unknown(columns.get("sensitive", ()), holdout.task)
    return quality


def _scores(holdout: Holdout, answers: Answers) -> Scores:
    task = holdout.task
    if task.classes is None:
        return metrics.regression(holdout.truth, answers)
    return metrics.classification(holdout.truth, answers, len(task.classes), task.positive)


def _members(frame: pl.DataFrame, column: str, kind: str) -> Any:
    if column not in frame.columns:
        cause = f"the {kind} column {column!r} is not in the holdout ({', '.join(frame.columns)})"
        raise StageFailure(cause, "correct the name in [tool.ml-pipeline.data]")
    series = frame[column]
    return groups.members((series.fill_nan(None) if series.dtype.is_float() else series).to_list())


def _groups(grouping: Grouping, holdout: Holdout, answers: Answers) -> list[Group]:
    if holdout.task.regression:
        return groups.regression(grouping, holdout.truth, answers.predicted)
    return groups.classification(grouping, holdout.truth, answers.predicted, holdout.task.positive)


def _why_unfair_is_unknown(sensitive: Sequence[str], task: Task) -> str:
    if not sensitive:
        return "[tool.ml-pipeline.data] names no sensitive column"
    if task.positive is None:
        return "it needs a positive class of two"
    return f"no sensitive column has two groups of {groups.MIN_ROWS} rows"


def _curves(holdout: Holdout, answers: Answers) -> dict[str, Any]:
    truth, task = holdout.truth, holdout.task
    if task.classes is None:
        return {}
    count = len(task.classes)
    matrix = metrics.confusion(truth, answers.predicted, count)
    found: dict[str, Any] = {"confusion": {"classes": task.classes, "matrix": matrix}}
    if metrics.probability_fault(answers.probabilities, count):
        return found
    shares = np.asarray(answers.probabilities, dtype=np.float64)
    if task.positive is None:  # of several classes: is the chosen one as often right as it is sure?
        return found | {"calibration": metrics.calibration(truth == answers.predicted, shares.max(axis=1))}
    observed, scores = truth == task.positive, shares[:, task.positive]
    found["calibration"] = metrics.calibration(observed, scores)
    if 0 < observed.sum() < len(observed):
        found["roc"] = metrics.roc(observed, scores)
    return found
