"""Groups, slices, and answers that are compared with other answers: no metric here is plain quality."""

from functools import partial

from ml_pipeline.common.metrics.metric import TARGET, Metric

WILSON = "score interval (Wilson 1927)"
AT_ONCE = "holds for all slices at once (Bonferroni)"
NO_SENSITIVE = (
    "the project names no sensitive column, if the model has more than two classes or none of the two is "
    "positive, or if no sensitive column has two groups of 30 rows"
)
NO_BASELINE = "the run has no baseline (the gate passes then)"
NO_REQUESTS = f"{NO_BASELINE}, if the project has no recorded requests"

_parity = partial(
    Metric,
    family="fairness",
    interval="of all pairs of groups and all columns at once (Newcombe 1998, of ratios Donner and Zou "
    "2012; Bonferroni); of differences to the baseline the Bayesian bootstrap, widened by its mirror image",
    missing=NO_SENSITIVE,
)
_slice = partial(Metric, family="slices")
_behaviour = partial(Metric, family="behaviour", interval=WILSON)

FAIRNESS = (
    _parity(
        "demographic_parity_difference",
        "demographic parity difference",
        higher_is_better=False,
        definition="The largest selection rate of a group minus the smallest. The selection rate is the "
        "share of the group's rows that are predicted as positive.",
        source="`fairlearn.metrics.demographic_parity_difference`; Agarwal et al. 2018",
    ),
    _parity(
        "demographic_parity_ratio",
        "demographic parity ratio",
        higher_is_better=True,
        definition="The smallest selection rate of a group divided by the largest; 1 if all are 0.",
        source="`fairlearn.metrics.demographic_parity_ratio`",
    ),
    _parity(
        "equalized_odds_difference",
        "equalized odds difference",
        higher_is_better=False,
        definition="The larger one of two differences between groups: of the true positive rates and of the "
        "false positive rates, each the largest minus the smallest.",
        source="`fairlearn.metrics.equalized_odds_difference`; Hardt, Price and Srebro 2016",
    ),
    _parity(
        "equalized_odds_ratio",
        "equalized odds ratio",
        higher_is_better=True,
        definition="The smaller one of two ratios between groups: of the true positive rates and of the "
        "false positive rates, each the smallest divided by the largest; 1 if all are 0.",
        source="`fairlearn.metrics.equalized_odds_ratio`",
    ),
)
SLICES = (
    _slice(
        "worst_slice_accuracy",
        "accuracy of the worst slice",
        higher_is_better=True,
        definition="The accuracy on the slice whose interval ends lowest: the slice that is shown to be "
        "worst, not the one that looks worst.",
        source="`sklearn.metrics.accuracy_score` on a slice",
        interval=f"exact (Clopper and Pearson 1934), {AT_ONCE}",
        missing="the model is a regression, or no slice has 50 rows",
    ),
    _slice(
        "worst_slice_rmse",
        "RMSE of the worst slice",
        higher_is_better=False,
        definition="The RMSE on the slice whose interval begins highest.",
        source="`sklearn.metrics.root_mean_squared_error` on a slice",
        range="0 and above",
        unit=TARGET,
        interval="Student's t on the squared errors, whose variance is at least that of all rows (degrees of "
        f"freedom: Satterthwaite 1946), {AT_ONCE}",
        missing="the model is a classifier, a prediction is not finite, or no slice has 50 rows",
    ),
)
BEHAVIOUR = (
    _behaviour(
        "baseline_agreement",
        "agreement with the baseline",
        higher_is_better=True,
        definition="The share of holdout rows for which candidate and baseline predict the same class, one "
        "of the model's.",
        source="batch commands of both images",
        missing=f"{NO_BASELINE}, or if the model is a regression",
    ),
    _behaviour(
        "shadow_agreement",
        "agreement on recorded requests",
        higher_is_better=True,
        definition="The share of recorded requests for which candidate and baseline predict the same class, "
        "one of the model's.",
        source="batch commands of both images",
        missing=f"{NO_REQUESTS}, or if the model is a regression",
    ),
    _behaviour(
        "shadow_difference",
        "difference on recorded requests",
        higher_is_better=False,
        definition="The mean, over the recorded requests, of the total variation distance ½ Σ |p - q| of "
        "the two images' probabilities. Of a regression: the mean of |candidate - baseline|, in the "
        "target's unit.",
        source="batch commands of both images",
        range="0 to 1; of a regression 0 and above",
        interval=f"{WILSON}; of a regression the share of requests that differ, times how far these "
        "do, if 5 or more differ",
        missing=(
            f"{NO_REQUESTS}, if an image returns no valid probabilities, or if a prediction is not finite"
        ),
    ),
    _behaviour(
        "largest_class_share",
        "share of the most frequent class",
        higher_is_better=False,
        definition="The share of holdout rows that are predicted as the class that is predicted most often.",
        source="batch command",
        missing="the model is a regression",
    ),
    _behaviour(
        "sensitive_flip_rate",
        "flips by a sensitive value",
        higher_is_better=False,
        definition="The share of sampled rows whose predicted class changes if the value of one sensitive "
        "column alone is replaced, by up to 8 values that the sample has.",
        source="`/predict`, up to 200 holdout rows",
        missing="the model reads no sensitive column, or is a regression",
    ),
    _behaviour(
        "missing_value_flip_rate",
        "flips by a missing value",
        higher_is_better=False,
        definition="The share of sampled rows whose predicted class changes if the value of one optional "
        "column is removed; the mean over the columns for which the image answers.",
        source="`/predict`, up to 200 holdout rows",
        missing="the model has no optional column, the image refuses every missing value, or the model is a "
        "regression",
    ),
    _behaviour(
        "train_holdout_gap",
        "gap between training and holdout",
        higher_is_better=False,
        definition="`train_accuracy`, which the training reports, minus the holdout's accuracy. Of a "
        "regression: the holdout's RMSE minus `train_rmse`.",
        source="metrics.json of the training",
        range="any number; above 0: the holdout is worse",
        interval="that of the holdout's metric",
        missing="the training does not report `train_accuracy` (`train_rmse`)",
    ),
    Metric(
        "prediction_drift",
        "drift of the predictions",
        "behaviour",
        higher_is_better=False,
        definition="The distance of the distributions of both images' predictions for the holdout: the "
        "Jensen-Shannon distance (base 2) of the classes; of a regression the Wasserstein distance, in "
        "standard deviations of the baseline's predictions. 0 if the test of this drift (χ²; of a regression "
        "Kolmogorov and Smirnov's) is not significant at 5 %.",
        source="`scipy.spatial.distance.jensenshannon(base=2)`, `scipy.stats.wasserstein_distance`",
        range="0 to 1; of a regression 0 and above",
        missing=f"{NO_BASELINE}, or if a prediction is not finite",
    ),
    Metric(
        "missing_value_refusals",
        "refusals of missing values",
        "behaviour",
        higher_is_better=False,
        definition="The share of optional columns without which the image does not answer with status 200.",
        source="`/predict`, up to 200 holdout rows",
        missing="the model has no optional column",
    ),
    Metric(
        "out_of_range_errors",
        "errors on values out of range",
        "behaviour",
        higher_is_better=False,
        definition="The share of out-of-range values to which the image returns neither finite numbers nor "
        "a status of 400 to 499. The values are a text that no row has, and numbers ten times the sample's "
        "range below its minimum and above its maximum.",
        source="`/predict`, up to 200 holdout rows",
        missing="the model reads neither numbers nor strings",
    ),
)
