"""Simple models on the same rows: what they answer, and whether a candidate beats one answer for all rows."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import r2_score

from ml_pipeline.gate import batches, examination, reference_scores, references
from ml_pipeline.gate.answers import Holdout, Task
from ml_pipeline.gate.arrays import Array
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.quality import Quality

pytestmark = pytest.mark.program

ROWS = 600
Learn = Callable[[pl.DataFrame, str], dict[str, Array]]


@pytest.fixture
def learn(tmp_path: Path) -> Learn:
    """Return a function that splits a table in halves, and returns the references' answers to the second."""

    def of(table: pl.DataFrame, task: str) -> dict[str, Array]:
        train, holdout, output = (
            tmp_path / name for name in ("train.parquet", "holdout.parquet", "references.npz")
        )
        table[: len(table) // 2].write_parquet(train)
        table[len(table) // 2 :].write_parquet(holdout)
        references.answer({"task": task, "target": "y"}, train, holdout, output)
        return batches.read_npz(output)

    return of


def odd_columns(random: np.random.Generator) -> pl.DataFrame:
    """Columns as real tables have them: without values, with one, infinite, with gaps, all different."""
    return pl.DataFrame(
        {
            "no text": pl.Series([None] * ROWS, dtype=pl.String),
            "no number": pl.Series([None] * ROWS, dtype=pl.Float64),
            "infinite": [float("inf")] * ROWS,
            "one value": [1] * ROWS,
            "yes or nothing": pl.Series([True, None] * (ROWS // 2)),
            "key": [f"row {number}" for number in range(ROWS)],
            "number": random.normal(size=ROWS),
            "gaps": [None if number % 3 else number / 7 for number in range(ROWS)],
            "when": pl.Series(np.arange(ROWS) * 3_600_000_000).cast(pl.Datetime("us")),
        }
    )


def test_models_learn_from_any_columns(learn: Learn) -> None:
    random = np.random.default_rng(0)
    table = odd_columns(random)
    colour = random.choice(["red", "green", "blue"], ROWS)
    found = learn(table.with_columns(colour=pl.Series(colour), y=pl.Series(colour)), "classification")
    assert json.loads(str(found["classes"][0])) == ["blue", "green", "red"]
    truth = np.unique(colour, return_inverse=True)[1][ROWS // 2 :]
    for name in ("linear", "boosting"):
        assert found[name].shape == (ROWS // 2, 3)
        assert np.mean(found[name].argmax(axis=1) == truth) > 0.95, name
    shares = np.unique(colour[: ROWS // 2], return_counts=True)[1] / (ROWS // 2)
    assert found["constant"][0] == pytest.approx(shares)

    y = table["number"].to_numpy() * 3 + (colour == "red")
    found = learn(table.with_columns(colour=pl.Series(colour), y=pl.Series(y)), "regression")
    for name in ("linear", "boosting"):
        assert r2_score(y[ROWS // 2 :], found[name]) > 0.9, name
    assert found["constant"] == pytest.approx(np.full(ROWS // 2, y[: ROWS // 2].mean()))


def test_where_no_column_tells_anything_the_constant_is_alone(learn: Learn) -> None:
    table = pl.DataFrame({"x": [1] * ROWS, "y": ["a", "b", "b"] * (ROWS // 3)})
    assert set(learn(table, "classification")) == {"constant", "classes"}


def test_a_class_of_one_row_and_a_target_with_an_infinite_value(learn: Learn) -> None:
    x = np.arange(ROWS, dtype=float) % 100
    labels = ["rare", *np.where(x > 50, "high", "low")[1:]]
    found = learn(pl.DataFrame({"x": x, "y": labels}), "classification")
    assert found["boosting"].shape == (ROWS // 2, 3)
    values = np.where(np.arange(ROWS) == 5, np.inf, x)
    assert np.isfinite(learn(pl.DataFrame({"x": x, "y": values}), "regression")["boosting"]).all()


def judged(truth: Array, candidate: Answers, task: Task, constant: Array) -> Quality:
    holdout = Holdout(pl.DataFrame({"y": truth}), truth, task)
    quality = examination.examine(holdout, [candidate], {}, "y")
    arrays = {"constant": constant, "classes": np.array([json.dumps(task.classes)])}
    reference_scores.add(quality, holdout, candidate, arrays)
    return quality


def test_a_model_that_knows_nothing_is_told() -> None:
    """Accuracy 0.94 looks good; the answer "no" to all rows has it too."""
    random = np.random.default_rng(1)
    truth = (np.arange(1000) % 50 < 3).astype(np.int64)
    guesses = random.uniform(0.01, 0.11, 1000)
    candidate = Answers(np.zeros(1000, dtype=np.int64), np.column_stack([1 - guesses, guesses]))
    quality = judged(truth, candidate, Task(["no", "yes"], 1), np.tile([0.94, 0.06], (1000, 1)))
    assert quality.references["constant"]["accuracy"] == pytest.approx(0.94)
    assert quality.references["constant"]["roc_auc"] == 0.5
    assert set(quality.no_better) == {"accuracy", "roc_auc"}
    text = "0.94 is not shown to be better than 0.94, which one answer for all rows gives"
    assert quality.no_better["accuracy"] == text


def test_what_knows_something_is_not_warned_about() -> None:
    random = np.random.default_rng(2)
    truth = random.integers(0, 2, 1000)
    shares = np.clip(0.2 + 0.6 * truth + random.normal(0, 0.1, 1000), 0.01, 0.99)
    candidate = Answers((shares > 0.5).astype(np.int64), np.column_stack([1 - shares, shares]))
    constant = np.tile([0.5, 0.5], (1000, 1))
    assert judged(truth, candidate, Task(["no", "yes"], 1), constant).no_better == {}

    values = random.normal(size=1000)
    near, far = Answers(values + random.normal(0, 0.2, 1000)), Answers(random.normal(0, 0.02, 1000))
    assert judged(values, near, Task(None), np.zeros(1000)).no_better == {}
    assert set(judged(values, far, Task(None), np.zeros(1000)).no_better) == {"rmse"}


def test_classes_in_another_order_and_spelling() -> None:
    truth = np.array([0, 1] * 100)
    candidate = Answers(truth, np.eye(2)[truth])
    task = Task(["1", "0"], 0)  # the candidate's own order
    holdout = Holdout(pl.DataFrame({"y": truth}), truth, task)
    quality = Quality()
    arrays = {"linear": np.eye(2)[1 - truth], "classes": np.array([json.dumps([0, 1])])}
    reference_scores.add(quality, holdout, candidate, arrays)
    assert quality.references["linear"]["accuracy"] == 1
