"""How good the answers to the holdout are: metrics of classifiers and of regressions."""

from functools import partial

from ml_pipeline.common.metrics.metric import NATS, TARGET, Metric

SHARE = "score interval of a share (Wilson 1927)"
AVERAGE = f"{SHARE} of an effective number of rows (Korn and Graubard 1998)"
FEW_OF_A_CLASS = ". It has no interval if a class has fewer than 10 rows"
SKEWED = "Student's t with a correction for skewness (Hall 1992; Satterthwaite 1946)"
ROWS = "bootstrap of the rows"
RANKS = f"{ROWS}; above 4,096 rows, of each row's influence"
NO_CLASSES = "the model is a regression"
NO_PROBABILITIES = f"{NO_CLASSES}, or the image returns no valid probabilities"
NO_NUMBERS = "the model is a classifier, or a prediction is not finite"

_labels = partial(Metric, family="quality", higher_is_better=True, interval=SHARE, missing=NO_CLASSES)
_averages = partial(_labels, interval=AVERAGE, missing=NO_CLASSES + FEW_OF_A_CLASS)
_one_class = partial(
    _labels,
    interval=f"{SHARE}; without a positive class that of an effective number of rows",
    missing=f"{NO_CLASSES}. It has no interval if a class has fewer than 10 rows and none is positive",
)
_ranking = partial(Metric, family="quality", higher_is_better=True, interval=RANKS)
_probability = partial(
    Metric, family="quality", higher_is_better=False, interval=ROWS, missing=NO_PROBABILITIES
)
_error = partial(
    Metric,
    family="quality",
    higher_is_better=False,
    range="0 and above",
    unit=TARGET,
    interval=f"{SKEWED}, of the logarithm",
    missing=NO_NUMBERS,
)

LABELS = (
    _labels(
        "accuracy",
        "accuracy",
        definition="The share of rows whose predicted class is the true class.",
        source="`sklearn.metrics.accuracy_score`",
        main=1,
    ),
    _averages(
        "balanced_accuracy",
        "balanced accuracy",
        definition="The mean, over the classes in the holdout, of the share of the class's rows that are "
        "predicted as this class.",
        source="`sklearn.metrics.balanced_accuracy_score`",
    ),
    _one_class(
        "precision",
        "precision",
        definition="TP / (TP + FP): the share of the rows predicted as the positive class that are of it. "
        "0 if no row is predicted so. Without a positive class: the mean over all classes of the model.",
        source="`sklearn.metrics.precision_score(zero_division=0)`",
    ),
    _one_class(
        "recall",
        "recall",
        definition="TP / (TP + FN): the share of the positive rows that are predicted as positive. 0 if "
        "there are none. Without a positive class: the mean over all classes of the model.",
        source="`sklearn.metrics.recall_score(zero_division=0)`",
    ),
    _one_class(
        "f1",
        "F1",
        definition="2 TP / (2 TP + FP + FN) of the positive class: the harmonic mean of precision and "
        "recall. Without a positive class: the same as `f1_macro`.",
        source="`sklearn.metrics.f1_score(zero_division=0)`",
        main=3,
    ),
    _averages(
        "f1_macro",
        "F1, macro average",
        definition="The mean of F1 over all classes of the model, each with the same weight.",
        source='`sklearn.metrics.f1_score(average="macro")`',
    ),
    _labels(
        "f1_weighted",
        "F1, weighted average",
        definition="The mean of F1 over all classes, each weighted by its number of rows in the holdout.",
        source='`sklearn.metrics.f1_score(average="weighted")`',
        interval=AVERAGE,
    ),
    _labels(
        "mcc",
        "Matthews correlation",
        definition="The correlation of true and predicted classes; for two classes (TP · TN - FP · FN) / "
        "√((TP + FP)(TP + FN)(TN + FP)(TN + FN)). 0 if all rows are of one class in both.",
        source="`sklearn.metrics.matthews_corrcoef`; Gorodkin 2004",
        range="-1 to 1",
        interval=AVERAGE,
        missing=f"{NO_CLASSES}. It has no interval if the classes but the most frequent one have fewer than "
        "10 rows",
    ),
)
PROBABILITIES = (
    _ranking(
        "roc_auc",
        "ROC AUC",
        definition="The probability that a random positive row has a higher score than a random negative "
        "one; a tie counts half. Without a positive class: the mean of each class against the rest.",
        source='`sklearn.metrics.roc_auc_score(average="macro")`; influences of rows: DeLong, DeLong and '
        "Clarke-Pearson 1988",
        missing=f"{NO_PROBABILITIES}, or the holdout lacks one of the classes. It has no interval if a "
        "class has fewer than 30 rows",
        main=2,
    ),
    _ranking(
        "average_precision",
        "average precision",
        definition="Σₙ (Rₙ - Rₙ₋₁) Pₙ over the distinct scores, with precision P and recall R at each of "
        "them. Without a positive class: the mean of each class against the rest.",
        source='`sklearn.metrics.average_precision_score(average="macro")`',
        missing=f"{NO_PROBABILITIES}, or the holdout lacks one of the classes. It has no interval if a "
        "class has fewer than 30 rows",
    ),
    _probability(
        "log_loss",
        "log loss",
        definition="The mean of -ln p over the rows, p being the probability of the true class, at least "
        "2.2·10⁻¹⁶.",
        source="`sklearn.metrics.log_loss`",
        range="0 to 36",
        unit=NATS,
    ),
    _probability(
        "brier",
        "Brier score",
        definition="The mean squared difference of the positive class's probability and the outcome, 0 or 1. "
        "Of more than two classes: the mean over the rows of the sum over the classes, which is 2 at most.",
        source="`sklearn.metrics.brier_score_loss`; Brier 1950",
        range="0 to 1; 0 to 2 for more than two classes",
    ),
    _probability(
        "expected_calibration_error",
        "expected calibration error",
        definition="Rows are put into ten equal bins of the positive class's probability (without a "
        "positive class: of the highest one). The metric is Σ (rows in the bin / all rows) · |mean "
        "probability - share of rows that are positive (or predicted correctly)|.",
        source="Guo et al. 2017",
        interval="by simulated outcomes: the true errors that could give this one; of differences to the "
        f"baseline {ROWS}, widened by its mirror image (Davison and Hinkley 1997)",
    ),
)
_QUANTILE = "The smallest absolute error that at least {} % of the rows do not exceed."
REGRESSION = (
    _error(
        "rmse",
        "RMSE",
        definition="√ of the mean of (prediction - truth)².",
        source="`sklearn.metrics.root_mean_squared_error`",
        main=4,
    ),
    _error(
        "mae",
        "MAE",
        definition="The mean of |prediction - truth|.",
        source="`sklearn.metrics.mean_absolute_error`",
        main=5,
    ),
    Metric(
        "r2",
        "R²",
        "quality",
        higher_is_better=True,
        definition="1 - Σ (prediction - truth)² / Σ (mean of the truth - truth)².",
        source="`sklearn.metrics.r2_score`",
        range="up to 1",
        interval=f"{SKEWED}, of the logarithm of 1 - R²",
        missing=f"{NO_NUMBERS}, or the holdout's target has one value only",
        main=6,
    ),
    Metric(
        "mape",
        "MAPE",
        "quality",
        higher_is_better=False,
        definition="The mean of |prediction - truth| / |truth|, as a fraction: 0.1 is 10 %.",
        source="`sklearn.metrics.mean_absolute_percentage_error`",
        range="0 and above",
        interval=f"{SKEWED}, of the logarithm",
        missing=f"{NO_NUMBERS}, or the target of some row is 0",
    ),
    *(
        _error(
            f"absolute_error_p{percent}",
            f"absolute error, {percent} % quantile",
            definition=_QUANTILE.format(percent),
            source='`numpy.quantile(method="inverted_cdf")`',
            interval="exact, by ranks (David and Nagaraja 2003); of differences with the correlation of "
            "Bahadur 1966",
            missing=f"{NO_NUMBERS}. It has no interval at 95 % of fewer than {rows} rows",
        )
        for percent, rows in ((50, 6), (90, 36), (99, 368))
    ),
)
