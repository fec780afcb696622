"""Everything that the holdout says about the candidate, and about the baseline on the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml_pipeline.common.metrics.table import names
from ml_pipeline.common.rules import CONFIDENCE, Difference, Measured
from ml_pipeline.gate import fairness, groups, metrics, slices
from ml_pipeline.gate.answers import Holdout, members
from ml_pipeline.gate.fairness import Parity
from ml_pipeline.gate.groups import Group, Grouping
from ml_pipeline.gate.metrics import Answers, Scores
from ml_pipeline.gate.slices import Slices
from ml_pipeline.gate.uncertainty import bootstrap, intervals

SHOWN_SLICES = 5


@dataclass
class Quality:
    """What was measured, by metric, why the rest was not, and what a report shows beside it."""

    measured: dict[str, Measured] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    fairness: list[dict[str, Any]] = field(default_factory=list)
    slices: dict[str, Any] | None = None
    curves: dict[str, Any] = field(default_factory=dict)


def examine(
    holdout: Holdout, images: Sequence[Answers], columns: Mapping[str, Sequence[str]], target: str
) -> Quality:
    """Score the candidate's answers and, if there is a second image, the baseline's.

    `columns`: kind (sensitive, slice) → names of the holdout's columns.
    """
    scored = [_scores(holdout, image) for image in images]
    found = Quality(missing=dict(scored[0].missing), curves=_curves(holdout, images[0]))
    found.measured = _measured(holdout, images, scored)
    groupings = [
        Grouping(column, kind, members(holdout.frame, column, kind))
        for kind, names in columns.items()
        for column in names
    ]
    sensitive = [grouping for grouping in groupings if grouping.kind == "sensitive"]
    if len(sensitive) > 1:
        name = groups.CROSSING.join(grouping.column for grouping in sensitive)
        crossing = Grouping(name, "sensitive", groups.crossed(*(grouping.members for grouping in sensitive)))
        groupings.append(crossing)
        sensitive.append(crossing)
    for grouping in groupings:
        found.groups += _groups(grouping, holdout, images[0])
    _add_fairness(found, sensitive, holdout, images)
    _add_slices(found, holdout, images, columns, target)
    return found


def _scores(holdout: Holdout, answers: Answers) -> Scores:
    task = holdout.task
    if task.classes is None:
        return metrics.regression(holdout.truth, answers)
    return metrics.classification(holdout.truth, answers, len(task.classes), task.positive)


def _measured(holdout: Holdout, images: Sequence[Answers], scored: Sequence[Scores]) -> dict[str, Measured]:
    rounds: list[dict[str, Any]] = [{} for _ in images]
    task = holdout.task
    if len(holdout.truth) >= bootstrap.MIN_ROWS:
        if task.classes is None:
            rounds = bootstrap.regression(holdout.truth, images)
        else:
            rounds = bootstrap.classification(holdout.truth, images, len(task.classes), task.positive)
    spreads = intervals.spreads(scored[0].values, rounds[0])
    before = scored[1].values if len(images) > 1 else {}
    found = {}
    for name, value in scored[0].values.items():
        difference = None
        if name in before:
            apart = value - before[name]
            both = name in rounds[0] and name in rounds[1]
            spread = intervals.difference(name, apart, rounds[0][name], rounds[1][name]) if both else None
            difference = Difference(apart, spread)
        found[name] = Measured(value, before.get(name), spreads.get(name), difference)
    return found


def _groups(grouping: Grouping, holdout: Holdout, answers: Answers) -> list[Group]:
    if holdout.task.regression:
        return groups.regression(grouping, holdout.truth, answers.predicted)
    return groups.classification(grouping, holdout.truth, answers.predicted, holdout.task.positive)


def _add_fairness(
    found: Quality, sensitive: Sequence[Grouping], holdout: Holdout, images: Sequence[Answers]
) -> None:
    positive = holdout.task.positive
    parities: list[Parity] = []
    if positive is not None:
        truth = (holdout.truth == positive).astype(np.int64)
        answers = [(image.predicted == positive).astype(np.int64) for image in images]
        parities = [
            fairness.measure(grouping.column, grouping.members, truth, answers, min_rows=groups.MIN_ROWS)
            for grouping in sensitive
        ]
    for parity in parities:
        if parity.points[0]:
            spreads = intervals.spreads(parity.points[0], parity.rounds[0])
            ends = {name: spread(CONFIDENCE) for name, spread in spreads.items()}
            found.fairness.append({"column": parity.column, **parity.points[0], "intervals": ends})
    for name in names("fairness"):
        worst = fairness.worst(parities, name)
        if worst:
            found.measured[name] = _compared(name, worst)
        else:
            found.missing[name] = _why_unfair_is_unknown(bool(sensitive), positive)


def _compared(name: str, parity: Parity) -> Measured:
    value, spread = parity.points[0][name], intervals.spreads(parity.points[0], parity.rounds[0]).get(name)
    if len(parity.points) == 1 or name not in parity.points[1]:
        return Measured(value, None, spread, None, parity.column)
    before = parity.points[1][name]
    apart = intervals.difference(name, value - before, parity.rounds[0][name], parity.rounds[1][name])
    difference = Difference(value - before, apart, parity.column)
    return Measured(value, before, spread, difference, parity.column)


def _why_unfair_is_unknown(sensitive: bool, positive: int | None) -> str:
    if not sensitive:
        return "[tool.ml-pipeline.data] names no sensitive column"
    if positive is None:
        return "it needs a positive class of two"
    return f"no sensitive column has two groups of {groups.MIN_ROWS} rows"


def _add_slices(
    found: Quality,
    holdout: Holdout,
    images: Sequence[Answers],
    columns: Mapping[str, Sequence[str]],
    target: str,
) -> None:
    regression = holdout.task.regression
    metric, other = ("worst_slice_rmse", "worst_slice_accuracy")[:: 1 if regression else -1]
    found.missing[other] = (
        "a regression has no such metric" if regression else "a classifier has no such metric"
    )
    if regression and not all(np.isfinite(image.predicted).all() for image in images):
        found.missing[metric] = "some predictions are no finite numbers"
        return
    configured = [column for names in columns.values() for column in names]
    answers = [image.predicted for image in images]
    baseline = answers[1] if len(answers) > 1 else None
    rows = holdout.frame if target in configured else holdout.frame.drop(target)
    searched = slices.search(rows, configured, holdout.truth, answers[0], baseline, regression=regression)
    if searched is None:
        found.missing[metric] = f"no slice has {slices.MIN_ROWS} of the holdout's rows"
        return
    found.measured[metric] = _worst(searched, baseline is not None)
    found.slices = _told(searched, baseline is not None)


def _worst(searched: Slices, compared: bool) -> Measured:
    index = searched.worst(searched.intervals(CONFIDENCE))
    difference = None
    if compared:
        lost = searched.most_lost(searched.differences(CONFIDENCE))
        apart = searched.values() - searched.values("baseline")
        difference = Difference(
            float(apart[lost]),
            lambda level: searched.bounds(searched.differences(level)),
            _place(searched, lost),
        )
    return Measured(
        float(searched.values()[index]),
        float(searched.values("baseline")[index]) if compared else None,
        lambda level: searched.bounds(searched.intervals(level)),
        difference,
        _place(searched, index),
    )


def _place(searched: Slices, index: int) -> str:
    return f"{searched.names[index]} ({searched.sums['rows'][index]:,.0f} rows)"


def _told(searched: Slices, compared: bool) -> dict[str, Any]:
    """Return the entry of verdict.json: the slices that lost most, and those that are worst."""
    low, high = searched.intervals(CONFIDENCE)
    order = np.argsort(-low if searched.regression else high, kind="stable")[:SHOWN_SLICES].tolist()
    apart = None
    if compared:
        apart = searched.differences(CONFIDENCE)
        lost = np.argsort(-apart[0] if searched.regression else apart[1], kind="stable")[:SHOWN_SLICES]
        shown = lost[(apart[0][lost] > 0) if searched.regression else (apart[1][lost] < 0)]
        order = list(dict.fromkeys([searched.most_lost(apart), *shown.tolist(), *order]))
    values = searched.values()
    entries = []
    for index in order:
        entry: dict[str, Any] = {
            "slice": searched.names[index],
            "rows": int(searched.sums["rows"][index]),
            "value": float(values[index]),
            "interval": [float(low[index]), float(high[index])],
            "baseline": None,
            "difference": None,
        }
        if apart is not None:
            before = float(searched.values("baseline")[index])
            entry["baseline"] = before
            entry["difference"] = {
                "value": float(values[index]) - before,
                "interval": [float(apart[0][index]), float(apart[1][index])],
            }
        entries.append(entry)
    return {
        "metric": "rmse" if searched.regression else "accuracy",
        "looked_at": len(searched.names),
        "min_rows": slices.MIN_ROWS,
        "worst": entries,
    }


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
        found["precision_recall"] = metrics.precision_recall(observed, scores)
    return found
