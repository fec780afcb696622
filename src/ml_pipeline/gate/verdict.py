"""verdict.json: all evidence and decisions, in the one document that reports and later runs read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from ml_pipeline.common import gates, rules
from ml_pipeline.common.gates import CONFIDENCE, Measured
from ml_pipeline.common.rules import Decision
from ml_pipeline.common.verdict import SCHEMA_VERSION, Difference, Digests, Interval, Skew, Verdict
from ml_pipeline.gate import groups
from ml_pipeline.gate.documents import Settings
from ml_pipeline.gate.quality import Quality
from ml_pipeline.gate.uncertainty.resampling import ROUNDS, SEED
from ml_pipeline.model.signature import SignatureDocument


@dataclass(frozen=True)
class Evidence:
    """What was measured of the images; nothing if the project builds none."""

    quality: Quality
    skew: Skew | None = None
    compared: bool = False  # there is a baseline
    requests: int | None = None  # recorded ones that both images answered
    units: int | None = None  # groups of rows, which are drawn whole
    in_time: bool = False  # these are blocks by data.time, not groups by data.group


def document(
    settings: Settings,
    model: SignatureDocument,
    rows: int,
    decisions: Sequence[Decision],
    evidence: Evidence,
    reported: Mapping[str, float],
    digests: Digests,
) -> Verdict:
    """Return verdict.json. What is not a finite number is null: JSON has no NaN."""
    quality, skew = evidence.quality, evidence.skew
    measured, curves = quality.measured, quality.curves
    verdict: Verdict = {
        "schema_version": SCHEMA_VERSION,
        "passed": rules.passed(decisions) and not (skew and skew["differing"]),
        "model": {"name": model.get("name"), "version": model.get("version")},
        "task": settings["task"],
        "rows": rows,
        "row_groups": None if evidence.in_time else evidence.units,
        "time_blocks": evidence.units if evidence.in_time else None,
        "group_rows": groups.MIN_ROWS,
        "digests": digests,
        "method": {"confidence": CONFIDENCE, "rounds": ROUNDS, "seed": SEED},
        "metrics": {name: metric.value for name, metric in measured.items()},
        "intervals": _intervals(measured),
        "not_measured": quality.missing,
        "notes": {name: metric.note for name, metric in measured.items() if metric.note},
        "no_interval": {name: metric.no_interval for name, metric in measured.items() if metric.no_interval},
        "reported": dict(reported),
        "baseline": _baseline(measured) if evidence.compared else None,
        "references": quality.references,
        "no_better": quality.no_better,
        "differences": {
            name: _difference(metric.difference) for name, metric in measured.items() if metric.difference
        },
        "gates": [decision.as_dict() for decision in decisions],
        "groups": [group.as_dict() for group in quality.groups],
        "fairness": quality.fairness,
        "slices": quality.slices,
        "skew": skew,
        "requests": evidence.requests,
        "confusion": curves.confusion,
        "roc": curves.roc,
        "precision_recall": curves.precision_recall,
        "calibration": curves.calibration,
    }
    return cast("Verdict", _finite(verdict))


def _intervals(measured: Mapping[str, Measured]) -> dict[str, Interval]:
    ends = {name: metric.interval(CONFIDENCE) for name, metric in measured.items() if metric.interval}
    return {name: pair for name, pair in ends.items() if pair}


def _baseline(measured: Mapping[str, Measured]) -> dict[str, float | None]:
    return {name: metric.baseline for name, metric in measured.items() if metric.baseline is not None}


def _difference(difference: gates.Difference) -> Difference:
    return {
        "value": difference.value,
        "interval": difference.interval(CONFIDENCE) if difference.interval else None,
        "where": difference.where,
    }


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
