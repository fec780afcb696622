"""What was found out, as the one document that reports, signatures and later runs read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_pipeline.common import rules
from ml_pipeline.common.rules import CONFIDENCE, Decision
from ml_pipeline.gate.examination import Quality
from ml_pipeline.gate.uncertainty.resampling import ROUNDS, SEED

SCHEMA_VERSION = 1  # verdict.schema.json says what it means; a change that a reader would notice raises it

CURVES = ("confusion", "roc", "precision_recall", "calibration")


@dataclass(frozen=True)
class Evidence:
    """What the images were found to do; of a project without an image, nothing."""

    quality: Quality
    skew: dict[str, Any] | None = None
    compared: bool = False  # there is a baseline
    requests: int | None = None  # recorded ones that both images answered


def document(
    settings: Mapping[str, Any],
    model: Mapping[str, Any],
    rows: int,
    decisions: Sequence[Decision],
    evidence: Evidence,
    reported: Mapping[str, float],
) -> dict[str, Any]:
    """Return verdict.json without its digests. What is not a finite number is null: JSON has no NaN."""
    quality, skew = evidence.quality, evidence.skew
    measured = quality.measured
    before = {name: found.baseline for name, found in measured.items() if found.baseline is not None}
    ends = {name: found.interval(CONFIDENCE) for name, found in measured.items() if found.interval}
    differences = {
        name: {
            "value": found.difference.value,
            "interval": found.difference.interval(CONFIDENCE) if found.difference.interval else None,
            "where": found.difference.where,
        }
        for name, found in measured.items()
        if found.difference
    }
    verdict: dict[str, Any] = _finite(
        {
            "schema_version": SCHEMA_VERSION,
            "passed": rules.passed(decisions) and not (skew and skew["differing"]),
            "model": {key: model.get(key) for key in ("name", "version")},
            "task": settings["task"],
            "rows": rows,
            "method": {"confidence": CONFIDENCE, "rounds": ROUNDS, "seed": SEED},
            "metrics": {name: found.value for name, found in measured.items()},
            "intervals": {name: pair for name, pair in ends.items() if pair},
            "not_measured": quality.missing,
            "reported": dict(reported),
            "baseline": before if evidence.compared else None,
            "differences": differences,
            "gates": [decision.as_dict() for decision in decisions],
            "groups": [group.as_dict() for group in quality.groups],
            "fairness": quality.fairness,
            "slices": quality.slices,
            "skew": skew,
            "requests": evidence.requests,
            **{key: quality.curves.get(key) for key in CURVES},
        }
    )
    return verdict


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
