"""What the pipeline itself measures, by the names that gates use; pure, standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# quality: resampled from the holdout's rows; fairness: from the groups of sensitive columns; slice: from
# many slices at once; behaviour: counted over rows that the image was asked; running: seen on the image,
# without an interval; elsewhere: other stages.
# A batch (batch_latency, throughput) is all sampled requests in one; an image's size is that of its files.
Kind = Literal["quality", "fairness", "slice", "behaviour", "running", "elsewhere"]


@dataclass(frozen=True)
class Measure:
    """Which way is better, and what kind of evidence there is."""

    higher_is_better: bool
    kind: Kind

    @property
    def has_interval(self) -> bool:
        """Say whether a gate on it can have a `confidence`."""
        return self.kind in {"quality", "fairness", "slice", "behaviour"}


def _measures(kind: Kind, higher: str = "", lower: str = "") -> dict[str, Measure]:
    names = [(name, True) for name in higher.split()] + [(name, False) for name in lower.split()]
    return {name: Measure(better, kind) for name, better in names}


MEASURES: Mapping[str, Measure] = {
    **_measures(
        "quality",
        "accuracy balanced_accuracy precision recall f1 f1_macro f1_weighted mcc "
        "roc_auc average_precision r2",
        "log_loss brier expected_calibration_error "
        "rmse mae mape absolute_error_p50 absolute_error_p90 absolute_error_p99",
    ),
    **_measures("slice", "worst_slice_accuracy", "worst_slice_rmse"),
    **_measures(
        "fairness",
        "demographic_parity_ratio equalized_odds_ratio",
        "demographic_parity_difference equalized_odds_difference",
    ),
    **_measures(
        "behaviour",
        "baseline_agreement shadow_agreement",
        "shadow_difference largest_class_share sensitive_flip_rate missing_value_flip_rate train_holdout_gap",
    ),
    **_measures(
        "running",
        "throughput_rows_per_s",
        "prediction_drift missing_value_refusals out_of_range_errors "
        "latency_p50_ms latency_p95_ms latency_p99_ms batch_latency_p50_ms batch_latency_p95_ms "
        "batch_latency_p99_ms memory_mb cold_start_ms image_mb image_above_base_mb "
        "image_compressed_mb image_above_base_compressed_mb",
    ),
    **_measures("elsewhere", lower="drift_share"),
}


def named(kind: Kind) -> tuple[str, ...]:
    """Return the metrics of one kind."""
    return tuple(name for name, measure in MEASURES.items() if measure.kind == kind)
