"""The rules of gates with a confidence: enough evidence, or not enough."""

from dataclasses import replace

import pytest

from ml_pipeline.common.rules import (
    Difference,
    Gate,
    Measured,
    decide,
    failure,
)
from tests.common.decisions import around, only


@pytest.mark.parametrize(
    ("bounds", "value", "status"),
    [
        ({"min": 0.8}, 0.91, "passed"),
        ({"min": 0.8}, 0.9, "passed"),
        ({"min": 0.8}, 0.89, "not-enough-evidence"),
        ({"min": 0.8}, 0.71, "not-enough-evidence"),
        ({"min": 0.8}, 0.69, "failed"),
        ({"max": 0.8}, 0.69, "passed"),
        ({"max": 0.8}, 0.71, "not-enough-evidence"),
        ({"max": 0.8}, 0.91, "failed"),
        ({"min": 0.2, "max": 0.8}, 0.5, "passed"),
        ({"min": 0.2, "max": 0.8}, 0.25, "not-enough-evidence"),
    ],
)
def test_with_a_confidence_the_whole_interval_decides(
    bounds: dict[str, float], value: float, status: str
) -> None:
    measured = {"f1": Measured(value, interval=around(value, 0.1))}
    decision = only(Gate("f1", confidence=0.95, **bounds), measured)
    assert (decision.status, decision.blocks) == (status, status != "passed")
    assert only(Gate("f1", **bounds), measured).status in {"passed", "failed"}


@pytest.mark.parametrize(
    ("metric", "difference", "status"),
    [
        ("accuracy", 0.0, "passed"),
        ("accuracy", -0.001, "not-enough-evidence"),
        ("accuracy", -0.025, "not-enough-evidence"),
        ("accuracy", -0.031, "failed"),
        ("log_loss", 0.0, "passed"),
        ("log_loss", 0.011, "not-enough-evidence"),
        ("log_loss", 0.031, "failed"),
    ],
)
def test_a_regression_fails_only_beyond_the_doubt(metric: str, difference: float, status: str) -> None:
    found = Measured(0.5 + difference, 0.5, difference=Difference(difference, around(difference, 0.01)))
    decision = only(Gate(metric, max_regression=0.0101, confidence=0.95), {metric: found})
    assert decision.status == status


def test_missing_evidence_is_told_and_blocks_unless_allowed() -> None:
    measured = {"accuracy": Measured(0.86, interval=around(0.86, 0.02))}
    gate = Gate("accuracy", min=0.85, confidence=0.95)
    decision = only(gate, measured)
    assert decision.reason == "0.86 [0.84, 0.88] is on both sides of min 0.85"
    assert failure([decision], 300) == (
        "accuracy: not enough evidence: 0.86 [0.84, 0.88] is on both sides of min 0.85 (300 holdout rows)",
        'judge it on more holdout rows, or set [tool.ml-pipeline.gates] accuracy.insufficient = "allow"',
    )
    allowed = only(replace(gate, insufficient="allow"), measured)
    assert (allowed.status, allowed.blocks) == ("not-enough-evidence", False)
    assert not only(replace(gate, required=False), measured).blocks


def test_a_failure_comes_before_missing_evidence() -> None:
    decisions = decide(
        [Gate("accuracy", min=0.85, confidence=0.95), Gate("f1", min=0.9)],
        {"accuracy": Measured(0.86, interval=around(0.86, 0.02)), "f1": Measured(0.5)},
    )
    assert failure(decisions, 9)[0].startswith("f1 0.5 is below min 0.9, accuracy: not enough evidence")


def test_a_confidence_without_an_interval_is_no_pass() -> None:
    decision = only(Gate("profit", min=1, confidence=0.95), {"profit": Measured(5)})
    assert (decision.status, decision.blocks) == ("not-enough-evidence", True)
    assert decision.reason == "5 has no interval"
    compared = only(Gate("profit", max_regression=1, confidence=0.95), {"profit": Measured(5, 4)})
    assert (compared.status, compared.reason) == (
        "not-enough-evidence",
        "the difference to the baseline has no interval",
    )


SLICE = Measured(
    0.7,
    interval=around(0.7, 0.1),
    difference=Difference(-0.08, around(-0.08, 0.02), "education = 10th (400 rows)"),
    where="job = smith (90 rows)",
)


def test_slices_are_decided_on_what_the_search_shows() -> None:
    lost = only(Gate("worst_slice_accuracy", max_regression=0.02), {"worst_slice_accuracy": SLICE})
    assert (lost.status, lost.blocks) == ("failed", True)
    assert lost.reason == (
        "0.08 worse than the baseline on education = 10th (400 rows), max_regression is 0.02"
    )
    small = only(Gate("worst_slice_accuracy", max_regression=0.06), {"worst_slice_accuracy": SLICE})
    assert (small.status, small.blocks) == ("not-enough-evidence", False)
    assert small.reason == (
        "no slice is shown to be 0.06 worse than the baseline; "
        "the likeliest is 0.08 worse on education = 10th (400 rows)"
    )
    unsure = only(Gate("worst_slice_accuracy", min=0.75), {"worst_slice_accuracy": SLICE})
    assert (unsure.status, unsure.blocks) == ("not-enough-evidence", False)
    assert unsure.reason == "0.7 [0.6, 0.8] on job = smith (90 rows) is on both sides of min 0.75"
    strict = Gate("worst_slice_accuracy", min=0.75, confidence=0.95)
    assert only(strict, {"worst_slice_accuracy": SLICE}).blocks
