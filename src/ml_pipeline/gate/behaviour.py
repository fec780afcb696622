"""How a candidate behaves where no right answer is known: asked again, with a changed question."""

import contextlib
import http.client
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml_pipeline.common.rules import NO_BASELINE, NO_REFERENCE, Interval, Measured
from ml_pipeline.distributions.differences import compare
from ml_pipeline.distributions.record import Categories, Column, Numbers
from ml_pipeline.gate.metrics import Answers, normalised, probability_fault
from ml_pipeline.gate.probe import Probe, Service
from ml_pipeline.gate.uncertainty.intervals import Mean, Mirrored, Share

MAX_VALUES = 8  # of a sensitive column: the ones that the requests have
UNSEEN = "a value that no row has"
FAR = 10  # times the range that the requests have
SHADOW = ("shadow_agreement", "shadow_difference")
REGRESSION = "a regression has no such metric"

Rows = Sequence[Mapping[str, Any]]


@dataclass
class Behaviour:
    """Metric → value; its interval where rows were drawn; and for those without a value: metric → why."""

    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    where: str = ""  # of which rows it tells, where they are not the holdout's

    def share(self, name: str, of_rows: Any) -> None:
        """Take the mean of one value a row [n], each between 0 and 1."""
        self.values[name] = float(np.mean(of_rows))
        self.intervals[name] = Share(self.values[name], len(of_rows))


def of_answers(images: Sequence[Answers], classes: int | None) -> Behaviour:
    """Say how much one class dominates the answers, how often the baseline agrees, and how both are spread.

    prediction_drift: how far the answers' distribution is from that of the baseline's to the same rows, as
    drift of the data is: the Jensen-Shannon distance of classes, of numbers the Wasserstein distance in
    the baseline's standard deviations.
    """
    found = Behaviour()
    if len(images) < 2:
        found.missing["prediction_drift"] = NO_REFERENCE
    elif classes is None and not all(np.isfinite(answers.predicted).all() for answers in images):
        found.missing["prediction_drift"] = "some predictions are no finite numbers"
    else:
        candidate, baseline = (_column(answers, classes) for answers in images)
        effect = "wasserstein" if classes is None else "jensen_shannon"
        found.values["prediction_drift"] = compare(baseline, candidate).effects[effect]
    if classes is None:
        found.missing |= dict.fromkeys(("largest_class_share", "baseline_agreement"), REGRESSION)
        return found
    predicted = images[0].predicted
    found.share("largest_class_share", predicted == np.bincount(predicted + 1).argmax() - 1)
    if len(images) > 1:
        found.share("baseline_agreement", predicted == images[1].predicted)
    else:
        found.missing["baseline_agreement"] = NO_BASELINE
    return found


def of_recorded(images: Sequence[Answers] | None, classes: int | None) -> Behaviour:
    """Say how far the candidate's answers to recorded requests are from the baseline's.

    shadow_agreement: the share of requests to which both say the same class. shadow_difference: on average,
    the total variation distance of their probabilities (of two classes: by how much one probability
    differs), or of a regression the distance of the numbers, in the target's unit. `images`: None without
    a baseline, empty without requests.
    """
    found = Behaviour()
    if not images:
        why = NO_BASELINE if images is None else "[tool.ml-pipeline.data] names no requests"
        found.missing = dict.fromkeys(SHADOW, why)
        return found
    found.where = f"{len(images[0].predicted):,} recorded requests"
    one, other = (answers.predicted for answers in images)
    if classes is None:
        found.missing["shadow_agreement"] = REGRESSION
        apart = np.abs(one - other)
        if np.isfinite(apart).all():
            found.values["shadow_difference"] = float(apart.mean())
            found.intervals["shadow_difference"] = Mean(float(apart.mean()), float(apart.std()), len(apart))
        else:
            found.missing["shadow_difference"] = "some predictions are no finite numbers"
        return found
    found.share("shadow_agreement", (one == other) & (one >= 0))
    faults = [probability_fault(answers.probabilities, classes) for answers in images]
    if any(faults):
        found.missing["shadow_difference"] = next(fault for fault in faults if fault)
    else:
        shares = [normalised(answers.probabilities) for answers in images]
        found.share("shadow_difference", np.abs(shares[0] - shares[1]).sum(axis=1) / 2)
    return found


def _column(answers: Answers, classes: int | None) -> Column:
    if classes is not None:
        counts = np.bincount(answers.predicted + 1, minlength=classes + 1)
        return Categories("string", {str(index): int(rows) for index, rows in enumerate(counts)}, 0)
    return Numbers("number", np.sort(answers.predicted), 0)


def train_gap(
    reported: Mapping[str, float], scores: Mapping[str, Measured], *, regression: bool
) -> Behaviour:
    """Say by how much the holdout is worse than what the training reports of its own rows.

    Its interval is the holdout's: the training has so many more rows that theirs adds little.
    """
    metric, sign = ("rmse", -1) if regression else ("accuracy", 1)
    if f"train_{metric}" not in reported or metric not in scores:
        return Behaviour(missing={"train_holdout_gap": f"the training reports no train_{metric}"})
    trained, held = reported[f"train_{metric}"], scores[metric]
    found = Behaviour({"train_holdout_gap": sign * (trained - held.value)})
    if held.interval:
        found.intervals["train_holdout_gap"] = Mirrored(held.interval, trained, sign)
    return found


def of_changed_requests(
    url: str,
    instances: Rows,
    answered: Probe,
    columns: Sequence[Mapping[str, Any]],
    sensitive: Sequence[str],
    *,
    regression: bool,
) -> Behaviour:
    """Ask the running image the same rows with one column changed.

    sensitive_flip_rate: the share of rows whose class changes with some sensitive column's value alone.
    missing_value_flip_rate, missing_value_refusals: without the value of one column that may be missing,
    the share of answers that change, and the share of columns without which the image refuses.
    out_of_range_errors: the share of values far outside the rows' range that the image neither answers
    with finite numbers nor refuses as bad input.
    """
    service, found = Service(url), Behaviour()
    with contextlib.closing(service.connection):
        _flips(found, service, instances, answered, [c["name"] for c in columns if c["name"] in sensitive])
        _without_values(found, service, instances, answered, columns)
        _far_values(found, service, instances, columns)
    if regression:
        for name in ("sensitive_flip_rate", "missing_value_flip_rate"):
            found.values.pop(name, None)
            found.intervals.pop(name, None)
            found.missing[name] = REGRESSION
    return found


def _flips(
    found: Behaviour, service: Service, instances: Rows, answered: Probe, columns: Sequence[str]
) -> None:
    if not columns:
        found.missing["sensitive_flip_rate"] = "the model reads no sensitive column"
        return
    flipped: Any = np.zeros(len(instances), dtype=bool)
    for column in columns:
        known = {json.dumps(row[column]): row[column] for row in instances if row[column] is not None}
        for key in sorted(known)[:MAX_VALUES]:
            status, answers = _ask(service, _changed(instances, column, known[key]))
            if status == 200:
                flipped |= _differ(answers, answered)
    found.share("sensitive_flip_rate", flipped)


def _without_values(
    found: Behaviour, service: Service, instances: Rows, answered: Probe, columns: Sequence[Mapping[str, Any]]
) -> None:
    optional = [column["name"] for column in columns if column.get("nullable")]
    if not optional:
        reason = "the model says of no column that it may be missing"
        found.missing |= dict.fromkeys(("missing_value_flip_rate", "missing_value_refusals"), reason)
        return
    changed, refused = [], 0
    for column in optional:
        status, answers = _ask(service, _changed(instances, column, None))
        if status == 200:
            changed.append(_differ(answers, answered))
        else:
            refused += 1
    found.values["missing_value_refusals"] = refused / len(optional)
    if changed:
        found.share("missing_value_flip_rate", np.mean(changed, axis=0))
    else:
        found.missing["missing_value_flip_rate"] = "the image refuses every missing value"


def _far_values(
    found: Behaviour, service: Service, instances: Rows, columns: Sequence[Mapping[str, Any]]
) -> None:
    broken = []
    for column in columns:
        for value in _outside(column, [row[column["name"]] for row in instances]):
            status, answers = _ask(service, _changed(instances, column["name"], value))
            refused = 400 <= status < 500
            broken.append(not refused and not (status == 200 and _is_finite(answers)))
    if broken:
        found.values["out_of_range_errors"] = float(np.mean(broken))
    else:
        found.missing["out_of_range_errors"] = "the model reads no numbers and no strings"


def _outside(column: Mapping[str, Any], values: Sequence[Any]) -> Iterator[Any]:
    if column["type"] == "string":
        yield UNSEEN
    known = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if column["type"] in {"integer", "number"} and known:
        room = FAR * (max(known) - min(known) or 1)
        yield max(known) + room
        yield min(known) - room


def _changed(instances: Rows, column: str, value: Any) -> list[dict[str, Any]]:
    return [{**row, column: value} for row in instances]


def _ask(service: Service, rows: Rows) -> tuple[int, dict[str, Any]]:
    """Return the status and the answer; 500 where the image breaks off or answers something else."""
    try:
        status, text = service.ask("POST", "/predict", json.dumps({"instances": rows}).encode())
        answer = json.loads(text) if status == 200 else {}
        if status == 200 and len(answer["predictions"]) != len(rows):
            return 500, {}
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        service.connection.close()
        return 500, {}
    return status, answer


def _differ(answers: Mapping[str, Any], answered: Probe) -> Any:
    pairs = zip(answers["predictions"], answered.predictions, strict=True)
    return np.asarray([one != other for one, other in pairs])


def _is_finite(answer: Mapping[str, Any]) -> bool:
    flat = [*answer["predictions"], *(share for row in answer.get("probabilities") or () for share in row)]
    return all(
        value is not None and not (isinstance(value, float) and not math.isfinite(value)) for value in flat
    )
