"""Score the candidate on the holdout, and the baseline on the same rows."""

from collections.abc import Mapping, Sequence

import numpy as np

from ml_pipeline.common.gates import Difference, Interval, Measured
from ml_pipeline.gate import curves, groups, metrics, sensitive_columns, worst_slices
from ml_pipeline.gate.answers import Holdout, members
from ml_pipeline.gate.groups import Group, Grouping, Kind
from ml_pipeline.gate.metrics import Answers, Scores
from ml_pipeline.gate.quality import Quality
from ml_pipeline.gate.uncertainty import bootstrap, errors, intervals, labels
from ml_pipeline.gate.uncertainty.bootstrap import Rounds
from ml_pipeline.gate.uncertainty.calibration import Calibration
from ml_pipeline.gate.uncertainty.labels import MetricIntervals
from ml_pipeline.gate.uncertainty.units import MIN_UNITS


def examine(
    holdout: Holdout, images: Sequence[Answers], columns: Mapping[Kind, Sequence[str]], target: str
) -> Quality:
    """Score the candidate's answers and, if there is a second image, the baseline's.

    `columns`: kind (sensitive, slice) → names of the holdout's columns.
    """
    scored = [scores(holdout, image) for image in images]
    quality = Quality(missing=dict(scored[0].missing), curves=curves.of(holdout, images[0]))
    quality.measured = _measured(holdout, images, scored)
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
        quality.groups += _groups(grouping, holdout, images[0])
    sensitive_columns.add(quality, sensitive, holdout, images)
    worst_slices.add(quality, holdout, images, columns, target)
    return quality


def compare(holdout: Holdout, images: Sequence[Answers]) -> dict[str, Measured]:
    """Return the first image's metrics, each with its difference to the second's if there is one."""
    return _measured(holdout, images, [scores(holdout, image) for image in images])


def counted(holdout: Holdout, images: Sequence[Answers]) -> MetricIntervals:
    """Return the intervals of the metrics that are sums over rows, which need no drawing of rows."""
    task = holdout.task
    if task.classes is None:
        return errors.intervals(holdout.values, images, holdout.units)
    return labels.intervals(holdout.indices, images, task.classes, task.positive, holdout.units)


def scores(holdout: Holdout, answers: Answers) -> Scores:
    """Return the values of one image's metrics."""
    task = holdout.task
    if task.classes is None:
        return metrics.regression(holdout.values, answers)
    return metrics.classification(holdout.indices, answers, len(task.classes), task.positive)


def _measured(holdout: Holdout, images: Sequence[Answers], scored: Sequence[Scores]) -> dict[str, Measured]:
    rounds: list[Rounds] = [{} for _ in images]
    sums, notes = MetricIntervals(), dict[str, str]()
    computed: dict[str, Interval] = {}
    task = holdout.task
    units = holdout.units
    if few := _too_few(holdout):
        sums.missing = dict.fromkeys(scored[0].values, few)
    elif task.classes is None:
        sums = counted(holdout, images)
        note = errors.dominated(holdout.values, images[0].values)
        notes = dict.fromkeys(("rmse", "r2"), note)
    else:
        classes = len(task.classes)
        rounds = bootstrap.classification(holdout.indices, images, classes, task.positive, units=units)
        sums = counted(holdout, images)
        if "expected_calibration_error" in scored[0].values:
            shares = metrics.normalised(np.asarray(images[0].probabilities))
            calibration = Calibration.of(holdout.indices, shares, task.positive, units)
            computed["expected_calibration_error"] = calibration
    spreads: dict[str, Interval] = sums.values | intervals.spreads(scored[0].values, rounds[0]) | computed
    baseline = scored[1].values if len(images) > 1 else {}
    measured = {}
    for name, value in scored[0].values.items():
        difference = None
        if name in baseline:
            apart = value - baseline[name]
            spread = sums.differences.get(name)
            if name in rounds[0] and name in rounds[1]:
                spread = intervals.difference(name, apart, rounds[0][name], rounds[1][name])
            difference = Difference(apart, spread)
        why, note = sums.missing.get(name, ""), notes.get(name, "")
        measured[name] = Measured(
            value, baseline.get(name), spreads.get(name), difference, no_interval=why, note=note
        )
    return measured


def _too_few(holdout: Holdout) -> str:
    """Return why no metric has an interval, or an empty string."""
    rows, units = len(holdout.truth), holdout.units
    if rows < bootstrap.MIN_ROWS:
        return f"the holdout has {rows} rows, and {bootstrap.MIN_ROWS} are needed"
    if units and units.count < MIN_UNITS:
        return f"the holdout has {units.count} groups of data.group, and {MIN_UNITS} are needed"
    return ""


def _groups(grouping: Grouping, holdout: Holdout, answers: Answers) -> list[Group]:
    if holdout.task.regression:
        return groups.regression(grouping, holdout.values, answers.values)
    return groups.classification(grouping, holdout.indices, answers.indices, holdout.task.positive)
