"""The metric table: what scikit-learn measures on a holdout, under the names that gates use."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn import metrics as sk

from ml_pipeline.common.metrics import quality

CURVE_POINTS = 200
CALIBRATION_BINS = 10

LABELS, FROM_PROBABILITIES, REGRESSION = (
    tuple(metric.name for metric in metrics)
    for metrics in (quality.LABELS, quality.PROBABILITIES, quality.REGRESSION)
)
QUANTILES = {"absolute_error_p50": 0.5, "absolute_error_p90": 0.9, "absolute_error_p99": 0.99}


@dataclass
class Scores:
    """Metric → value, and for those without a value: metric → why."""

    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answers:
    """What an image said about N rows.

    `predicted`: class indices [N] (-1: a class that the model's signature lacks), or values [N] for
    regression. `probabilities`: [N, C] in the order of the classes, or None.
    """

    predicted: Any
    probabilities: Any = None


def class_indices(labels: Any, classes: Sequence[Any]) -> Any:
    """Return the index in `classes` of every label [N], -1 where it is none of them.

    Labels are compared as text, because the same class is the string "1" in one format
    and the integer 1 in the other; true, True and 1 are the same class, and so are false, False and 0.
    """
    positions = {_text(label): index for index, label in enumerate(classes)}
    distinct, inverse = np.unique(np.asarray(labels), return_inverse=True)
    found = [
        next((positions[key] for key in _spellings(label) if key in positions), -1)
        for label in distinct.tolist()
    ]
    return np.asarray(found, dtype=np.int64)[inverse]


def classification(truth: Any, answers: Answers, classes: int, positive: int | None) -> Scores:
    """Score class indices `truth` [N] against the answers; `positive` is the index that counts as 1.

    Precision, recall and F1 are those of the positive class where there is one, else macro averages;
    ROC AUC over several classes is the unweighted mean of one class against the rest.
    """
    predicted = answers.predicted
    macro: dict[str, Any] = {"average": "macro", "labels": list(range(classes)), "zero_division": 0}
    if positive is None:
        y, y_hat, single = truth, predicted, macro
    else:
        y, y_hat, single = truth == positive, predicted == positive, {"zero_division": 0}
    scores = Scores()
    scores.values = {
        "accuracy": sk.accuracy_score(truth, predicted),
        "balanced_accuracy": _balanced_accuracy(truth, predicted),
        "precision": sk.precision_score(y, y_hat, **single),
        "recall": sk.recall_score(y, y_hat, **single),
        "f1": sk.f1_score(y, y_hat, **single),
        "f1_macro": sk.f1_score(truth, predicted, **macro),
        "f1_weighted": sk.f1_score(truth, predicted, **{**macro, "average": "weighted"}),
        "mcc": _mcc(truth, predicted),
    }
    _score_probabilities(scores, truth, answers.probabilities, classes, positive)
    return _finished(scores, REGRESSION, "a classifier")


def _balanced_accuracy(truth: Any, predicted: Any) -> float:
    # The mean recall over the classes that the holdout has, as scikit-learn defines it, without its
    # warning about predicted classes that the holdout lacks.
    return float(np.mean([np.mean(predicted[truth == label] == label) for label in np.unique(truth)]))


def _mcc(truth: Any, predicted: Any) -> float:
    # Where truth and answers are one class throughout, scikit-learn warns, and says 0 too.
    one_class = len(np.unique(np.concatenate([truth, predicted]))) == 1
    return 0.0 if one_class else float(sk.matthews_corrcoef(truth, predicted))


def _score_probabilities(
    scores: Scores, truth: Any, probabilities: Any, classes: int, positive: int | None
) -> None:
    reason = probability_fault(probabilities, classes)
    if reason:
        scores.missing |= dict.fromkeys(FROM_PROBABILITIES, reason)
        return
    shares = normalised(probabilities)
    labels = list(range(classes))
    scores.values["expected_calibration_error"] = _calibration_error(truth, shares, positive)
    scores.values["log_loss"] = sk.log_loss(truth, shares, labels=labels)
    if positive is not None:
        scores.values["brier"] = sk.brier_score_loss(truth == positive, shares[:, positive])
    else:
        scores.values["brier"] = sk.brier_score_loss(truth, shares, labels=labels)
    if len(np.unique(truth)) < classes:
        scores.missing |= dict.fromkeys(
            ("roc_auc", "average_precision"), "the holdout lacks one of the classes"
        )
    elif positive is not None:
        scores.values["roc_auc"] = sk.roc_auc_score(truth == positive, shares[:, positive])
        scores.values["average_precision"] = sk.average_precision_score(
            truth == positive, shares[:, positive]
        )
    else:
        one_hot = np.eye(classes, dtype=np.int64)[truth]
        scores.values["roc_auc"] = sk.roc_auc_score(one_hot, shares, average="macro")
        scores.values["average_precision"] = sk.average_precision_score(one_hot, shares, average="macro")


def normalised(probabilities: Any) -> Any:
    """Return probabilities [N, C] as float64 that add up to 1; float32 rows do so only nearly."""
    shares = np.asarray(probabilities, dtype=np.float64)
    return shares / shares.sum(axis=1, keepdims=True)


def surprise(truth: Any, shares: Any, positive: int | None) -> tuple[Any, Any]:
    """Return each row's bin of confidence [N], and by how much the confidence was too high [N].

    Ten equal bins, of the positive class's probability, or of the likeliest class's where there are several.
    Inside a bin the mean of the second is what calibration is about.
    """
    if positive is None:
        scores, observed = shares.max(axis=1), truth == shares.argmax(axis=1)
    else:
        scores, observed = shares[:, positive], truth == positive
    return bins(scores), scores - observed


def bins(scores: Any) -> Any:
    """Return the one of ten equal bins that each score [N] is in."""
    return np.clip((scores * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)


def _calibration_error(truth: Any, shares: Any, positive: int | None) -> float:
    # Guo et al. (2017): the bins' gaps between confidence and outcome, weighted by their rows.
    where, gaps = surprise(truth, shares, positive)
    return float(np.abs(np.bincount(where, gaps)).sum() / len(truth))


def probability_fault(probabilities: Any, classes: int) -> str:
    """Say why `probabilities` are none, or return an empty string."""
    if probabilities is None:
        return "the model gives no probabilities"
    shares = np.asarray(probabilities, dtype=np.float64)
    if shares.ndim != 2 or shares.shape[1] != classes:
        return f"the probabilities have shape {list(shares.shape)} for {classes} classes"
    if (
        not np.isfinite(shares).all()
        or (shares < 0).any()
        or not np.allclose(shares.sum(axis=1), 1, atol=1e-3)
    ):
        return "the probabilities of a row do not add up to 1"
    return ""


def regression(truth: Any, answers: Answers) -> Scores:
    """Score values `truth` [N] against the predicted ones."""
    predicted, scores = answers.predicted, Scores()
    if not np.isfinite(predicted).all():
        scores.missing = dict.fromkeys(REGRESSION, "some predictions are no finite numbers")
        return _finished(scores, (*LABELS, *FROM_PROBABILITIES), "a regression")
    scores.values = {
        "rmse": sk.root_mean_squared_error(truth, predicted),
        "mae": sk.mean_absolute_error(truth, predicted),
    }
    if len(truth) > 1 and np.ptp(truth) > 0:
        scores.values["r2"] = sk.r2_score(truth, predicted)
    else:
        scores.missing["r2"] = "the holdout's target does not vary"
    if (truth != 0).all():
        scores.values["mape"] = sk.mean_absolute_percentage_error(truth, predicted)
    else:
        scores.missing["mape"] = "the holdout's target is 0 in some rows"
    errors = np.quantile(np.abs(predicted - truth), list(QUANTILES.values()), method="inverted_cdf")
    scores.values |= dict(zip(QUANTILES, errors, strict=True))
    return _finished(scores, (*LABELS, *FROM_PROBABILITIES), "a regression")


def _finished(scores: Scores, others: Sequence[str], kind: str) -> Scores:
    values = {name: float(value) for name, value in scores.values.items()}
    undefined = {
        name: "it is undefined on this holdout" for name, v in values.items() if not math.isfinite(v)
    }
    scores.values = {name: value for name, value in values.items() if name not in undefined}
    scores.missing |= undefined | dict.fromkeys(others, f"{kind} has no such metric")
    return scores


def confusion(truth: Any, predicted: Any, classes: int) -> list[list[int]]:
    """Return counts [C][C]: a row a true class, a column a predicted one."""
    table: list[list[int]] = sk.confusion_matrix(truth, predicted, labels=list(range(classes))).tolist()
    return table


def roc(truth: Any, scores: Any) -> list[list[float]]:
    """Return at most `CURVE_POINTS` points [false positive rate, true positive rate] of booleans [N]."""
    false_positive, true_positive, _ = sk.roc_curve(truth, scores)
    return _thinned(false_positive, true_positive)


def precision_recall(truth: Any, scores: Any) -> list[list[float]]:
    """Return at most `CURVE_POINTS` points [recall, precision] of booleans [N], from recall 0 to 1."""
    precision, recall, _ = sk.precision_recall_curve(truth, scores, drop_intermediate=True)
    return _thinned(recall[::-1], precision[::-1])


def _thinned(across: Any, up: Any) -> list[list[float]]:
    kept = np.unique(np.linspace(0, len(across) - 1, CURVE_POINTS).round().astype(np.int64))
    curve: list[list[float]] = np.column_stack([across, up])[kept].round(5).tolist()
    return curve


def calibration(observed: Any, scores: Any) -> list[dict[str, float]]:
    """Return the filled ones of ten equal bins of scores [N]: mean score, share of `observed` [N], rows."""
    where = bins(scores)
    return [
        {
            "predicted": round(float(scores[where == b].mean()), 5),
            "observed": round(float(observed[where == b].mean()), 5),
            "rows": int((where == b).sum()),
        }
        for b in np.unique(where)
    ]


def _text(label: Any) -> str:
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def _spellings(label: Any) -> tuple[str, ...]:
    text = _text(label)
    return (text, *_TWINS.get(text, ()))


_TWINS = {"true": ("True", "1"), "false": ("False", "0"), "1": ("true", "True"), "0": ("false", "False")}
