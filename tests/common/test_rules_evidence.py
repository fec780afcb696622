"""The rules of gates with a confidence: enough evidence, or not enough."""

from dataclasses import replace

import pytest

from ml_pipeline.common.gates import FEW, Difference, Gate, Measured
from ml_pipeline.common.rules import decide
from ml_pipeline.gate import failure
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
    # What is undecided blocks only if the measured loss is larger than allowed, unless the gate says so.
    loss = -difference if metric == "accuracy" else difference
    assert decision.blocks == (status == "failed" or (status == "not-enough-evidence" and loss > 0.0101))
    strict = Gate(metric, max_regression=0.0101, confidence=0.95, insufficient="block")
    assert only(strict, {metric: found}).blocks == (status != "passed")


@pytest.mark.parametrize(
    ("gate", "measured", "rows"),
    [
        # 0.01 above the bound with a margin of 0.02 needs four times as many rows.
        (Gate("accuracy", min=0.85, confidence=0.95), Measured(0.86, interval=around(0.86, 0.02)), "1,200"),
        (Gate("accuracy", min=0.87, confidence=0.95), Measured(0.86, interval=around(0.86, 0.02)), "1,200"),
        (
            Gate("accuracy", max_regression=0.01, confidence=0.95),
            Measured(0.86, 0.86, difference=Difference(0.0, around(0.0, 0.05))),
            "7,500",
        ),
        (
            Gate("accuracy", max_regression=0.01, confidence=0.95),
            Measured(0.83, 0.86, difference=Difference(-0.03, around(-0.03, 0.04))),
            "2,700",
        ),
    ],
)
def test_an_undecided_gate_says_how_many_rows_would_decide(gate: Gate, measured: Measured, rows: str) -> None:
    (decision,) = decide([gate], {"accuracy": measured}, rows=300)
    assert decision.status == "not-enough-evidence"
    assert decision.reason.endswith(f"; about {rows} rows would decide this")


def test_what_is_not_of_the_holdout_needs_so_many_times_as_many() -> None:
    gate = Gate("shadow_agreement", min=0.95, confidence=0.95)
    (decision,) = decide([gate], {"shadow_agreement": Measured(0.96, interval=around(0.96, 0.02))}, rows=300)
    assert decision.reason.endswith("; about 4 times as many rows would decide this")
    at_the_bound = Measured(0.95, interval=around(0.95, 0.02))
    (decision,) = decide([gate], {"shadow_agreement": at_the_bound}, rows=300)
    assert "would decide" not in decision.reason


def test_too_few_rows_are_not_a_failure() -> None:
    gate = Gate("equalized_odds_difference", max=0.1)
    reason = f"{FEW}no sensitive column has two groups of 30 rows"
    undecided = only(gate, {}, {gate.metric: reason})
    assert (undecided.status, undecided.blocks) == ("not-enough-evidence", True)
    assert not only(replace(gate, insufficient="allow"), {}, {gate.metric: reason}).blocks
    assert failure.of([undecided], 40)[1].startswith("judge it on more holdout rows, or set")


def test_why_there_is_no_interval_is_told() -> None:
    few = Measured(0.93, no_interval="4 holdout rows are of class 'c', and 10 are needed")
    decision = only(Gate("f1_macro", min=0.9, confidence=0.95), {"f1_macro": few})
    assert decision.reason == "0.93 has no interval: 4 holdout rows are of class 'c', and 10 are needed"


def test_missing_evidence_is_told_and_blocks_unless_allowed() -> None:
    measured = {"accuracy": Measured(0.86, interval=around(0.86, 0.02))}
    gate = Gate("accuracy", min=0.85, confidence=0.95)
    decision = only(gate, measured)
    told = "0.86 [0.84, 0.88] is on both sides of min 0.85; about 4 times as many rows would decide this"
    assert decision.reason == told
    assert failure.of([decision], 300) == (
        f"accuracy: not enough evidence: {told} (300 holdout rows)",
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
    assert failure.of(decisions, 9)[0].startswith("f1 0.5 is below min 0.9, accuracy: not enough evidence")


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
