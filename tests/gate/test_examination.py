"""The whole examination of answers, for every kind of task, up to the document that comes out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import polars as pl
import pytest

from ml_pipeline.common import rules
from ml_pipeline.common.document import RunDocument
from ml_pipeline.common.gates import Gate
from ml_pipeline.common.metrics.table import names
from ml_pipeline.gate import examination, verdict
from ml_pipeline.gate.answers import Holdout, Task
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.quality import Quality
from ml_pipeline.gate.verdict import Evidence
from ml_pipeline.report import page

pytestmark = pytest.mark.program

SCHEMA = json.loads((Path(verdict.__file__).parent / "verdict.schema.json").read_text())
COLUMNS = {"sensitive": ["sex", "race"], "slice": ["job"]}
DIGESTS = dict.fromkeys(("candidate", "baseline", "data", "config"))


def frame(rows: int, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "sex": random.choice(["f", "m"], rows),
            "race": random.choice(["a", "b", "c"], rows),
            "job": random.choice(["clerk", "smith"], rows),
            "age": random.normal(40, 10, rows),
            "y": np.zeros(rows),
        }
    )


def classes(rows: int, count: int, seed: int = 0) -> tuple[Any, Answers]:
    random = np.random.default_rng(seed)
    scores = random.random((rows, count)) + 0.1
    shares = scores / scores.sum(axis=1, keepdims=True)
    truth = np.where(random.random(rows) < 0.6, shares.argmax(axis=1), random.integers(0, count, rows))
    return truth, Answers(shares.argmax(axis=1), shares)


def document(found: Quality, task: str, rows: int, gates: Sequence[Gate] = ()) -> dict[str, Any]:
    decisions = rules.decide(gates, found.measured, found.missing)
    evidence = Evidence(found, None, compared=True)
    made = verdict.document({"task": task}, {}, rows, decisions, evidence, {}, DIGESTS)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(made, allow_nan=False)))
    return made


def test_two_classes_with_a_baseline() -> None:
    truth, candidate = classes(2000, 2)
    noise = np.random.default_rng(1).random(2000) < 0.05
    baseline = Answers(np.where(noise, 1 - candidate.predicted, candidate.predicted))
    holdout = Holdout(frame(2000), truth, Task(["no", "yes"], 1))
    found = examination.examine(holdout, [candidate, baseline], COLUMNS, "y")
    made = document(found, "classification", 2000)
    assert set(made["metrics"]) >= set(names("fairness"))
    assert [entry["column"] for entry in made["fairness"]] == ["sex", "race", "sex × race"]  # noqa: RUF001
    crossing = [group for group in made["groups"] if group["column"].startswith("sex ")]
    assert len(crossing) == 6
    for name in ("accuracy", "f1", "equalized_odds_ratio", "worst_slice_accuracy"):
        low, high = made["intervals"][name]
        assert low <= made["metrics"][name] <= high, name
        lost, won = made["differences"][name]["interval"]
        assert lost <= made["differences"][name]["value"] <= won, name
    assert "log_loss" not in made["differences"]  # this baseline gives no probabilities
    assert made["slices"]["looked_at"] > 20
    assert "(about 0.0" in page.html(RunDocument(verdict=made), {}), "the report shows what fairness measured"


def test_several_classes() -> None:
    truth, candidate = classes(600, 4)
    holdout = Holdout(frame(600), truth, Task(list("abcd")))
    found = examination.examine(holdout, [candidate, candidate], COLUMNS, "y")
    made = document(found, "classification", 600, [Gate("accuracy", max_regression=0, confidence=0.95)])
    assert made["gates"][0]["status"] == "passed"  # the same answers
    assert made["gates"][0]["difference"]["interval"] == [0, 0]
    assert made["not_measured"]["equalized_odds_ratio"] == "it needs two classes, one of them positive"
    assert {"roc_auc", "expected_calibration_error"} <= set(made["intervals"])


def test_regression_with_a_baseline() -> None:
    random = np.random.default_rng(2)
    truth = random.normal(size=1500)
    candidate, baseline = (Answers(truth + size * random.normal(size=1500)) for size in (1.3, 1.0))
    found = examination.examine(Holdout(frame(1500), truth, Task(None)), [candidate, baseline], COLUMNS, "y")
    gates = [
        Gate("rmse", max_regression=0.1, confidence=0.95),
        Gate("rmse", max_regression=0.5, confidence=0.95),
        Gate("worst_slice_rmse", max_regression=0.05),
    ]
    made = document(found, "regression", 1500, gates)
    assert [gate["status"] for gate in made["gates"]] == ["failed", "passed", "failed"]
    assert made["not_measured"]["worst_slice_accuracy"] == "a regression has no such metric"
    broken = examination.examine(
        Holdout(frame(1500), truth, Task(None)), [candidate, Answers(np.full(1500, np.nan))], COLUMNS, "y"
    )
    assert broken.missing["worst_slice_rmse"] == "some predictions are not finite numbers"
    assert broken.measured["rmse"].difference is None


@pytest.mark.parametrize("rows", [1, 3])
def test_a_holdout_of_few_rows_claims_nothing(rows: int) -> None:
    truth = np.arange(rows) % 2
    candidate = Answers(truth.copy(), np.eye(2)[truth])
    holdout = Holdout(frame(rows), truth, Task(["no", "yes"], 1))
    found = examination.examine(holdout, [candidate], COLUMNS, "y")
    gates = [Gate("accuracy", min=0.9, confidence=0.95), Gate("accuracy", min=0.9)]
    made = document(found, "classification", rows, gates)
    assert [gate["status"] for gate in made["gates"]] == ["not-enough-evidence", "passed"]
    assert made["intervals"] == {}
    assert (
        found.missing["worst_slice_accuracy"] == f"too few rows: no slice has 50 of the holdout's {rows} rows"
    )


def test_the_target_may_be_a_slice() -> None:
    truth, candidate = classes(400, 2)
    rows = frame(400).with_columns(y=pl.Series(truth))
    holdout = Holdout(rows, truth, Task([0, 1], 1))
    found = examination.examine(holdout, [candidate], {"slice": ["y"]}, "y")
    assert {group.name for group in found.groups} == {"0", "1"}
    assert found.slices is not None
