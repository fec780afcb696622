"""What scikit-learn measures on a holdout, under the names that gates use. See docs/metrics.md."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from ml_pipeline.common.metrics import quality
from ml_pipeline.gate.arrays import Floats, Integers, Numeric

CALIBRATION_BINS = 10
NOT_FINITE = "some predictions are not finite numbers"

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
    """What an image answered for N rows.

    `predicted`: class indices [N] (-1: a class that the model's signature lacks), or values [N] for
    regression. `probabilities`: [N, C] in the order of the classes, or None.
    """

    predicted: Numeric
    probabilities: npt.ArrayLike | None = None

    @property
    def indices(self) -> Integers:
        """The predicted classes, as indices [N]."""
        return self.predicted.astype(np.int64, copy=False)

    @property
    def values(self) -> Floats:
        """The values that a regression predicts [N]."""
        return self.predicted.astype(np.float64, copy=False)


def classification(truth: Integers, answers: Answers, classes: int, positive: int | None) -> Scores:
    """Score class indices `truth` [N] against the answers; `positive` is the index that counts as 1.

    Precision, recall and F1 are those of the positive class where there is one, else macro averages;
    ROC AUC over several classes is the unweighted mean of one class against the rest.
    """
    # Labels are scored by their counts: a row for each pair of classes, as heavy as it is frequent.
    y_true, y_pred, counts = _pairs(truth, answers.indices, classes)
    macro: dict[str, Any] = {"average": "macro", "labels": list(range(classes)), "zero_division": 0}
    if positive is None:
        y, y_hat, single = y_true, y_pred, macro
    else:
        y, y_hat, single = y_true == positive, y_pred == positive, {"zero_division": 0}
    weighted: dict[str, Any] = {"sample_weight": counts}
    scores = Scores()
    scores.values = {
        "accuracy": sk.accuracy_score(y_true, y_pred, **weighted),
        "balanced_accuracy": _balanced_accuracy(y_true, y_pred, counts),
        "precision": sk.precision_score(y, y_hat, **single, **weighted),
        "recall": sk.recall_score(y, y_hat, **single, **weighted),
        "f1": sk.f1_score(y, y_hat, **single, **weighted),
        "f1_macro": sk.f1_score(y_true, y_pred, **macro, **weighted),
        "f1_weighted": sk.f1_score(y_true, y_pred, **{**macro, "average": "weighted"}, **weighted),
        "mcc": _mcc(y_true, y_pred, counts),
    }
    _score_probabilities(scores, truth, answers.probabilities, classes, positive)
    return _finished(scores, REGRESSION, "a classifier")


def _pairs(truth: Integers, predicted: Integers, classes: int) -> tuple[Integers, Integers, Integers]:
    """Return each pair of true and predicted class [P], [P] that occurs, and in how many rows [P]."""
    width = classes + 1  # a predicted class may be -1
    counts = np.bincount(truth * width + predicted + 1, minlength=width)
    (codes,) = np.nonzero(counts)
    return codes // width, codes % width - 1, counts[codes]


def _balanced_accuracy(truth: Integers, predicted: Integers, counts: Integers) -> float:
    # The mean recall over the classes that the holdout has, as scikit-learn defines it, without its
    # warning about predicted classes that the holdout lacks.
    recalls = [
        counts[(truth == label) & (predicted == label)].sum() / counts[truth == label].sum()
        for label in np.unique(truth)
    ]
    return float(np.mean(recalls))


def _mcc(truth: Integers, predicted: Integers, counts: Integers) -> float:
    # Where truth and answers are one class throughout, scikit-learn warns, and says 0 too.
    one_class = len(np.unique(np.concatenate([truth, predicted]))) == 1
    return 0.0 if one_class else float(sk.matthews_corrcoef(truth, predicted, sample_weight=counts))


def _score_probabilities(
    scores: Scores, truth: Integers, probabilities: npt.ArrayLike | None, classes: int, positive: int | None
) -> None:
    reason = probability_fault(probabilities, classes)
    if reason or probabilities is None:
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


def normalised(probabilities: npt.ArrayLike) -> Floats:
    """Return probabilities [N, C] as float64 that add up to 1; float32 rows do so only nearly."""
    shares = np.asarray(probabilities, dtype=np.float64)
    total: Floats = shares.sum(axis=1, keepdims=True)
    return shares / total


def surprise(truth: Integers, shares: Floats, positive: int | None) -> tuple[Integers, Floats]:
    """Return each row's bin of confidence [N], and by how much the confidence was too high [N].

    Ten equal bins, of the positive class's probability, or of the likeliest class's where there are several.
    Inside a bin the mean of the second is what calibration is about.
    """
    if positive is None:
        scores, observed = shares.max(axis=1), truth == shares.argmax(axis=1)
    else:
        scores, observed = shares[:, positive], truth == positive
    return bins(scores), scores - observed


def bins(scores: Floats) -> Integers:
    """Return the one of ten equal bins that each score [N] is in."""
    return np.clip((scores * CALIBRATION_BINS).astype(np.int64), 0, CALIBRATION_BINS - 1)


def _calibration_error(truth: Integers, shares: Floats, positive: int | None) -> float:
    # Guo et al. (2017): the bins' gaps between confidence and outcome, weighted by their rows.
    where, gaps = surprise(truth, shares, positive)
    return float(np.abs(np.bincount(where, gaps)).sum() / len(truth))


def probability_fault(probabilities: npt.ArrayLike | None, classes: int) -> str:
    """Return why `probabilities` are not valid, or an empty string."""
    if probabilities is None:
        return "the model returns no probabilities"
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


def regression(truth: Floats, answers: Answers) -> Scores:
    """Score values `truth` [N] against the predicted ones."""
    predicted, scores = answers.values, Scores()
    if not np.isfinite(predicted).all():
        scores.missing = dict.fromkeys(REGRESSION, NOT_FINITE)
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
