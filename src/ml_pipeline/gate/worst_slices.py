"""The slices in the verdict: the worst ones, and those that lost most."""

from collections.abc import Mapping, Sequence

import numpy as np

from ml_pipeline.common import verdict
from ml_pipeline.common.gates import CONFIDENCE, FEW, Difference, Measured
from ml_pipeline.gate import slices
from ml_pipeline.gate.answers import Holdout
from ml_pipeline.gate.groups import Kind
from ml_pipeline.gate.metrics import NOT_FINITE, Answers
from ml_pipeline.gate.quality import Quality
from ml_pipeline.gate.slices import Slices

SHOWN_SLICES = 5


def add(
    quality: Quality,
    holdout: Holdout,
    images: Sequence[Answers],
    columns: Mapping[Kind, Sequence[str]],
    target: str,
) -> None:
    """Search the holdout's slices; add the metric of the worst one and the entry of verdict.json."""
    regression = holdout.task.regression
    metric, other = ("worst_slice_rmse", "worst_slice_accuracy")[:: 1 if regression else -1]
    quality.missing[other] = (
        "a regression has no such metric" if regression else "a classifier has no such metric"
    )
    if regression and not all(np.isfinite(image.predicted).all() for image in images):
        quality.missing[metric] = NOT_FINITE
        return
    configured = [column for names in columns.values() for column in names]
    answers = [image.predicted for image in images]
    baseline = answers[1] if len(answers) > 1 else None
    rows = holdout.frame if target in configured else holdout.frame.drop(target)
    searched = slices.search(
        rows,
        configured,
        holdout.truth,
        answers[0],
        baseline,
        regression=regression,
        units=holdout.units,
    )
    if searched is None:
        quality.missing[metric] = (
            f"{FEW}no slice has {slices.MIN_ROWS} of the holdout's {len(holdout.truth):,} rows"
        )
        return
    quality.measured[metric] = _worst(searched, baseline is not None)
    quality.slices = _entry(searched, baseline is not None)


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


def _entry(searched: Slices, compared: bool) -> verdict.Slices:
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
        entry: verdict.Slice = {
            "slice": searched.names[index],
            "rows": int(searched.sums["rows"][index]),
            "value": float(values[index]),
            "interval": (float(low[index]), float(high[index])),
            "baseline": None,
            "difference": None,
        }
        if apart is not None:
            baseline = float(searched.values("baseline")[index])
            entry["baseline"] = baseline
            entry["difference"] = {
                "value": float(values[index]) - baseline,
                "interval": (float(apart[0][index]), float(apart[1][index])),
            }
        entries.append(entry)
    return {
        "metric": "rmse" if searched.regression else "accuracy",
        "looked_at": len(searched.names),
        "min_rows": slices.MIN_ROWS,
        "worst": entries,
    }
