"""Whether more of a metric is better, by its name; for names of a project's own too."""

from ml_pipeline.common.metrics.table import METRICS

# Names that trainings write, beside those of `METRICS`.
_HIGHER = {"auc", "auprc", "auroc", "bleu", "dice", "iou", "map", "ndcg", "roc_auc"}
_LOWER = {"cost", "cross_entropy", "mape", "mse", "nll", "perplexity", "rmsle", "smape"}
# Words around a name that do not change what is better.
_SETS = {"cv", "dev", "eval", "test", "train", "training", "val", "valid", "validation"}
_MEANS = {"best", "final", "macro", "mean", "micro", "weighted"}
_ENDINGS = ("loss", "error", "accuracy", "score")


def is_higher_better(name: str) -> bool | None:
    """Return whether more of the metric is better; None if its name does not say so.

    Words such as "validation" before or after the metric's own name are left out.
    """
    if name in METRICS:
        return METRICS[name].higher_is_better
    words = name.lower().replace("/", "_").replace("-", "_").replace(".", "_").split("_")
    own = "_".join(word for word in words if word and word not in _SETS | _MEANS)
    if own in METRICS:
        return METRICS[own].higher_is_better
    if own in _HIGHER or own in _LOWER:
        return own in _HIGHER
    last = own.rpartition("_")[2]
    return last in {"accuracy", "score"} if last in _ENDINGS else None
