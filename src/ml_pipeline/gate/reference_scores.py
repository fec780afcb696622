"""What simple models reach on the same holdout, and whether the candidate beats one answer for all rows."""

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ml_pipeline.common.gates import CONFIDENCE, REFERENCES
from ml_pipeline.common.wording import number
from ml_pipeline.gate import examination
from ml_pipeline.gate.answers import Holdout
from ml_pipeline.gate.arrays import Array
from ml_pipeline.gate.labels import class_indices
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.quality import Quality


def add(
    quality: Quality,
    holdout: Holdout,
    candidate: Answers,
    arrays: Mapping[str, Array],
    asked: Mapping[str, str] | None = None,
) -> None:
    """Add each simple model's metrics, and which of the candidate's are not shown to beat a constant answer.

    `arrays` is references.npz (gate/references.py). `asked`: metric → the simple model that its gate
    names, to which the difference is measured.
    """
    answers = _answers(holdout, arrays)
    scored = {name: examination.scores(holdout, each).values for name, each in answers.items()}
    quality.references = scored
    _add_leads(quality, holdout, candidate, answers, asked or {})
    constant = scored.get("constant", {})
    for metric in ("rmse",) if holdout.task.regression else ("accuracy", "roc_auc"):
        measured = quality.measured.get(metric)
        if measured is None or metric not in constant:
            continue
        ends = _apart(quality, holdout, candidate, answers["constant"], metric)
        if ends and (-ends[1] if holdout.task.regression else ends[0]) <= 0:
            value, other = number(measured.value), number(constant[metric])
            quality.no_better[metric] = (
                f"{value} is not shown to be better than {other}, which one answer for all rows gives"
            )


def _add_leads(
    quality: Quality,
    holdout: Holdout,
    candidate: Answers,
    answers: Mapping[str, Answers],
    asked: Mapping[str, str],
) -> None:
    for reference in {*asked.values()} & {*answers}:
        compared = examination.compare(holdout, [candidate, answers[reference]])
        for metric in (name for name, other in asked.items() if other == reference):
            measured, pair = quality.measured.get(metric), compared.get(metric)
            if measured and pair and pair.difference:
                quality.measured[metric] = replace(measured, leads={reference: pair.difference})


def _answers(holdout: Holdout, arrays: Mapping[str, Array]) -> dict[str, Answers]:
    """Return each reference's answers, its classes in the order of the candidate's."""
    found = {name: arrays[name].astype(np.float64) for name in REFERENCES if name in arrays}
    classes = holdout.task.classes
    if classes is None:
        return {name: Answers(values) for name, values in found.items()}
    where = class_indices(json.loads(str(arrays["classes"][0])), classes)
    answers = {}
    for name, shares in found.items():
        ordered = np.zeros((len(shares), len(classes)))
        ordered[:, where[where >= 0]] = shares[:, where >= 0]
        answers[name] = Answers(ordered.argmax(axis=1), ordered)
    return answers


def _apart(
    quality: Quality, holdout: Holdout, candidate: Answers, constant: Answers, metric: str
) -> tuple[float, float] | None:
    """Return the interval of candidate minus constant; None where it is not known."""
    if metric == "roc_auc":  # that of one answer for all rows is exactly a half
        interval = quality.measured[metric].interval
        ends = interval(CONFIDENCE) if interval else None
        return (ends[0] - 0.5, ends[1] - 0.5) if ends else None
    spread = examination.counted(holdout, (candidate, constant)).differences.get(metric)
    return spread(CONFIDENCE) if spread else None
