"""The gates' decisions, as plain values."""

import math

import pytest

from ml_pipeline.common.gates import NO_BASELINE, NO_REFERENCE, Difference, Gate, Measured
from ml_pipeline.common.rules import decide, higher_is_better, passed
from ml_pipeline.gate import documents, failure
from tests.common.decisions import around, only


@pytest.mark.parametrize(
    ("gate", "value", "status"),
    [
        (Gate("accuracy", min=0.84), 0.84, "passed"),
        (Gate("accuracy", min=0.84), 0.8399, "failed"),
        (Gate("latency_p95_ms", max=20), 20, "passed"),
        (Gate("latency_p95_ms", max=20), 20.1, "failed"),
        (Gate("recall", min=0.2, max=0.9), 0.5, "passed"),
        (Gate("recall", min=0.2, max=0.9), 0.95, "failed"),
        (Gate("accuracy", min=0.84), math.nan, "failed"),
        (Gate("log_loss", max=1), math.inf, "failed"),
    ],
)
def test_bounds_are_inclusive(gate: Gate, value: float, status: str) -> None:
    decision = only(gate, {gate.metric: Measured(value)})
    assert decision.status == status
    assert decision.blocks == (status == "failed")


@pytest.mark.parametrize(
    ("metric", "value", "lead", "margin", "status"),
    [
        ("accuracy", 0.9, 0.05, None, "passed"),
        ("accuracy", 0.9, 0.0, None, "failed"),
        ("accuracy", 0.9, 0.05, 0.04, "passed"),
        ("accuracy", 0.9, 0.05, 0.06, "not-enough-evidence"),
        ("accuracy", 0.9, -0.05, 0.04, "failed"),
        ("rmse", 2.0, -0.5, 0.4, "passed"),
        ("rmse", 2.0, -0.5, 0.6, "not-enough-evidence"),
        ("rmse", 2.0, 0.5, 0.4, "failed"),
    ],
)
def test_a_simple_model_that_must_be_beaten(
    metric: str, value: float, lead: float, margin: float | None, status: str
) -> None:
    gate = Gate(metric, better_than="linear", confidence=None if margin is None else 0.95)
    difference = Difference(lead, around(lead, margin) if margin is not None else None)
    decision = only(gate, {metric: Measured(value, leads={"linear": difference})})
    assert (decision.status, decision.blocks) == (status, status != "passed")
    alone = only(gate, {metric: Measured(value, leads={"boosting": difference})})
    assert (alone.status, alone.reason) == (
        "failed",
        "can't be compared: the model 'linear' has no value of it",
    )


def test_the_way_out_of_a_simple_model_that_is_better() -> None:
    gate = Gate("accuracy", min=0.5, better_than="linear")
    decision = only(gate, {"accuracy": Measured(0.9, leads={"linear": Difference(-0.01)})})
    cause, hint = failure.of([decision], 100)
    assert cause == "accuracy 0.9 is not better than linear's 0.91 (100 holdout rows)"
    assert hint == "improve the model or remove [tool.ml-pipeline.gates] accuracy.better_than"


@pytest.mark.parametrize(
    ("metric", "value", "baseline", "status"),
    [
        ("accuracy", 0.850, 0.854, "passed"),
        ("accuracy", 0.850, 0.856, "failed"),
        ("accuracy", 0.900, 0.850, "passed"),
        ("log_loss", 0.354, 0.350, "passed"),
        ("log_loss", 0.356, 0.350, "failed"),
        ("log_loss", 0.300, 0.350, "passed"),
        ("accuracy", 0.850, math.nan, "failed"),
    ],
)
def test_regression_counts_in_the_direction_that_is_worse(
    metric: str, value: float, baseline: float, status: str
) -> None:
    gate = Gate(metric, max_regression=0.005)
    assert only(gate, {metric: Measured(value, baseline)}).status == status


def test_a_regression_is_told_with_both_values() -> None:
    decision = only(Gate("accuracy", max_regression=0.005), {"accuracy": Measured(0.85, 0.87)})
    assert decision.reason == "0.85 is 0.02 worse than the baseline's 0.87, max_regression is 0.005"


def test_without_a_baseline_a_regression_gate_passes_and_says_so() -> None:
    decision = only(Gate("accuracy", max_regression=0.005), {"accuracy": Measured(0.85)})
    assert (decision.status, decision.reason) == ("passed", "no baseline to compare with")


@pytest.mark.parametrize(
    ("gate", "higher"),
    [
        (Gate("accuracy", max=1), True),
        (Gate("rmse", min=0), False),
        (Gate("my_error", max=3), False),
        (Gate("my_gain", min=3), True),
        (Gate("my_gain", min=3, max=9), True),
        (Gate("my_gain", max_regression=1), True),
    ],
)
def test_direction(gate: Gate, higher: bool) -> None:
    assert higher_is_better(gate) is higher


def test_an_unknown_metric_blocks_even_where_it_is_not_required() -> None:
    decision = only(Gate("acuracy", min=0.5, required=False), {"accuracy": Measured(0.9)})
    assert decision.status == "failed"
    assert decision.blocks
    assert decision.reason.startswith("no such metric; the nearest are accuracy")
    cause, hint = failure.of([decision], 10)
    assert cause.startswith("acuracy no such metric")
    assert hint == "correct the name in [tool.ml-pipeline.gates] acuracy"


def test_a_metric_of_the_users_own_can_be_gated() -> None:
    assert only(Gate("profit", min=3), {"profit": Measured(4)}).status == "passed"


@pytest.mark.parametrize(("required", "status"), [(True, "failed"), (False, "not-measured")])
def test_a_known_metric_that_nobody_measured(required: bool, status: str) -> None:
    decision = only(Gate("drift_share", max=0.5, required=required), {})
    assert (decision.status, decision.blocks) == (status, required)
    assert decision.reason == "not measured: nothing in this run measures it"


def test_why_a_metric_is_missing_is_told() -> None:
    decision = only(Gate("roc_auc", min=0.5), {}, {"roc_auc": "the model returns no probabilities"})
    assert decision.reason == "not measured: the model returns no probabilities"
    assert failure.of([decision], 3)[1] == "set [tool.ml-pipeline.gates] roc_auc.required = false"


@pytest.mark.parametrize(
    ("gate", "reason"),
    [(Gate("drift.age", max=0.5), NO_REFERENCE), (Gate("baseline_agreement", min=0.9), NO_BASELINE)],
)
def test_the_gate_of_a_first_release_passes_where_there_is_nothing_to_compare_with(
    gate: Gate, reason: str
) -> None:
    decision = only(gate, {}, {gate.metric: reason})
    assert (decision.status, decision.reason, decision.blocks) == ("passed", reason, False)


def test_a_gate_that_is_not_required_fails_without_blocking() -> None:
    decision = only(Gate("accuracy", min=0.9, required=False), {"accuracy": Measured(0.8)})
    assert (decision.status, decision.blocks) == ("failed", False)
    assert passed([decision])


def test_the_failure_names_every_blocking_gate_and_the_first_one_s_way_out() -> None:
    gates = [
        Gate("f1", min=0.9, required=False),
        Gate("accuracy", min=0.99),
        Gate("roc_auc", min=0.5),
        Gate("latency_p95_ms", max=20),
    ]
    measured = {"f1": 0.1, "accuracy": 0.8612, "roc_auc": 0.9, "latency_p95_ms": 31.25}
    decisions = decide(gates, {name: Measured(value) for name, value in measured.items()})
    assert not passed(decisions)
    assert failure.of(decisions, 9769) == (
        "accuracy 0.8612 is below min 0.99, latency_p95_ms 31.25 is above max 20 (9,769 holdout rows)",
        "improve the model or lower [tool.ml-pipeline.gates] accuracy.min",
    )


@pytest.mark.parametrize(
    ("gate", "measured", "hint"),
    [
        (Gate("rmse", max=3), Measured(4), "improve the model or raise [tool.ml-pipeline.gates] rmse.max"),
        (
            Gate("rmse", max_regression=1),
            Measured(4, 2),
            "improve the model or raise [tool.ml-pipeline.gates] rmse.max_regression",
        ),
        (
            Gate("rmse", max_regression=1),
            Measured(math.nan, 2),
            "improve the model or change [tool.ml-pipeline.gates] rmse",
        ),
    ],
)
def test_the_hint_names_the_bound_that_was_broken(gate: Gate, measured: Measured, hint: str) -> None:
    assert failure.of([only(gate, {"rmse": measured})], 5)[1] == hint


def test_a_near_miss_is_told_with_enough_digits() -> None:
    decision = only(Gate("accuracy", min=0.99), {"accuracy": Measured(0.98999)})
    assert decision.reason == "0.98999 is below min 0.99"


def test_gates_from_settings_and_back() -> None:
    (gate,) = documents.gates({"accuracy": {"min": 0.84, "required": False}})
    assert gate == Gate("accuracy", min=0.84, required=False)
    entry = only(gate, {"accuracy": Measured(0.9, 0.75, around(0.9, 0.1))}).as_dict()
    assert entry == {
        "metric": "accuracy",
        "value": 0.9,
        "interval": (0.8, 1.0),
        "where": "",
        "baseline": 0.75,
        "difference": {"value": pytest.approx(0.15), "interval": None, "where": ""},
        "min": 0.84,
        "max": None,
        "max_regression": None,
        "better_than": None,
        "required": False,
        "confidence": None,
        "insufficient": "allow",
        "status": "passed",
        "reason": "",
        "blocks": False,
    }


def test_no_gates_pass() -> None:
    assert decide([], {}) == ()
    assert passed([])
