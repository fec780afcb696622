"""How the answers of an image compare with those of another image, and with the training's own report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ml_pipeline.common.gates import NO_BASELINE, NO_REFERENCE, Interval, Measured
from ml_pipeline.distributions.differences import compare
from ml_pipeline.distributions.record import Categories, Column, Numbers
from ml_pipeline.gate.arrays import Booleans, Floats
from ml_pipeline.gate.metrics import NOT_FINITE, Answers, normalised, probability_fault
from ml_pipeline.gate.uncertainty.intervals import Differing, Mirrored
from ml_pipeline.gate.uncertainty.shares import Share
from ml_pipeline.gate.uncertainty.units import Units, design

SHADOW = ("shadow_agreement", "shadow_difference")
DRIFT_ALPHA = 0.05
REGRESSION = "a regression has no such metric"


@dataclass
class Behaviour:
    """Metric → value; its interval where rows were drawn; and for those without a value: metric → why."""

    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    where: str = ""  # the rows, if they are not the holdout's

    def share(self, name: str, of_rows: Booleans | Floats, units: Units | None = None) -> None:
        """Add a metric: the mean of a value of each row [n] between 0 and 1."""
        self.values[name] = float(np.mean(of_rows))
        independent = len(of_rows) / design(units, of_rows.astype(np.float64))
        self.intervals[name] = Share(self.values[name], independent)


def of_answers(images: Sequence[Answers], classes: int | None, units: Units | None = None) -> Behaviour:
    """Measure how much one class dominates, how often the baseline agrees, and how both are distributed.

    prediction_drift: how far the answers' distribution is from that of the baseline's to the same rows, as
    drift of the data is: the Jensen-Shannon distance of classes, of numbers the Wasserstein distance in
    the baseline's standard deviations.
    """
    behaviour = Behaviour()
    if len(images) < 2:
        behaviour.missing["prediction_drift"] = NO_REFERENCE
    elif classes is None and not all(np.isfinite(answers.predicted).all() for answers in images):
        behaviour.missing["prediction_drift"] = NOT_FINITE
    else:
        candidate, baseline = (_column(answers, classes) for answers in images)
        effect = "wasserstein" if classes is None else "jensen_shannon"
        moved = compare(baseline, candidate)
        # Of few rows, or of many classes, the distance is large by chance.
        chance = moved.p is not None and moved.p >= DRIFT_ALPHA
        behaviour.values["prediction_drift"] = 0.0 if chance else moved.effects[effect]
    if classes is None:
        behaviour.missing |= dict.fromkeys(("largest_class_share", "baseline_agreement"), REGRESSION)
        return behaviour
    predicted = images[0].indices
    behaviour.share("largest_class_share", predicted == np.bincount(predicted + 1).argmax() - 1, units)
    if len(images) > 1:
        behaviour.share("baseline_agreement", _agree(images), units)
    else:
        behaviour.missing["baseline_agreement"] = NO_BASELINE
    return behaviour


def of_recorded(images: Sequence[Answers] | None, classes: int | None) -> Behaviour:
    """Measure how far the candidate's answers to recorded requests are from the baseline's.

    shadow_agreement: the share of requests to which both say the same class. shadow_difference: on average,
    the total variation distance of their probabilities (of two classes: by how much one probability
    differs), or of a regression the distance of the numbers, in the target's unit. `images`: None without
    a baseline, empty without requests.
    """
    behaviour = Behaviour()
    if not images:
        why = NO_BASELINE if images is None else "[tool.ml-pipeline.data] has no requests"
        behaviour.missing = dict.fromkeys(SHADOW, why)
        return behaviour
    behaviour.where = f"{len(images[0].predicted):,} recorded requests"
    one, other = (answers.predicted for answers in images)
    if classes is None:
        behaviour.missing["shadow_agreement"] = REGRESSION
        apart = np.abs(one - other)
        if np.isfinite(apart).all():
            behaviour.values["shadow_difference"] = float(apart.mean())
            behaviour.intervals["shadow_difference"] = Differing.of(apart)
        else:
            behaviour.missing["shadow_difference"] = NOT_FINITE
        return behaviour
    behaviour.share("shadow_agreement", _agree(images))
    probabilities = [answers.probabilities for answers in images]
    faults = [probability_fault(each, classes) for each in probabilities]
    if any(faults):
        behaviour.missing["shadow_difference"] = next(fault for fault in faults if fault)
    else:
        shares = [normalised(each) for each in probabilities if each is not None]
        behaviour.share("shadow_difference", np.abs(shares[0] - shares[1]).sum(axis=1) / 2)
    return behaviour


def _agree(images: Sequence[Answers]) -> Booleans:
    """Say for which rows both images answer the same class; one that the model lacks may be any other."""
    one, other = (answers.indices for answers in images)
    agree: Booleans = (one == other) & (one >= 0)
    return agree


def _column(answers: Answers, classes: int | None) -> Column:
    if classes is not None:
        counts = np.bincount(answers.indices + 1, minlength=classes + 1)
        return Categories("string", {str(index): int(rows) for index, rows in enumerate(counts)}, 0)
    return Numbers("number", np.sort(answers.predicted), 0)


def train_gap(
    reported: Mapping[str, float], scores: Mapping[str, Measured], *, regression: bool
) -> Behaviour:
    """Measure by how much the holdout is worse than what the training reports of its own rows.

    Its interval is the holdout's: the training has so many more rows that theirs adds little.
    """
    metric, sign = ("rmse", -1) if regression else ("accuracy", 1)
    if f"train_{metric}" not in reported or metric not in scores:
        return Behaviour(missing={"train_holdout_gap": f"the training does not report train_{metric}"})
    trained, held = reported[f"train_{metric}"], scores[metric]
    behaviour = Behaviour({"train_holdout_gap": sign * (trained - held.value)})
    if held.interval:
        behaviour.intervals["train_holdout_gap"] = Mirrored(held.interval, trained, sign)
    return behaviour
