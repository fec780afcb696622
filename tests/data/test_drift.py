"""Which columns have drifted, by significance and effect."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data import drift
from ml_pipeline.data.recording import whole
from ml_pipeline.data.settings import Settings
from ml_pipeline.project.data_rules import Column, ColumnDrift

pytestmark = pytest.mark.program

LIMITS = Settings(path="people.csv", target="answer", task="classification", seed=0)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_correction_is_benjamini_and_hochbergs(ps: list[float]) -> None:
    assert drift.adjusted(ps) == pytest.approx(false_discovery_control(ps).tolist())


def judged(before: dict[str, Any], now: dict[str, Any], **rules: ColumnDrift) -> dict[str, Any]:
    frames = [pl.LazyFrame(table, strict=False) for table in (before, now)]

    def reader(frame: pl.LazyFrame) -> drift.Read:
        types = {n: "string" if t == pl.String else "number" for n, t in frame.collect_schema().items()}
        return lambda name: whole(frame, name, types[name])

    differences = drift.differences(list(before), reader(frames[0]), reader(frames[1]), 100)
    columns = {name: Column(drift=own) for name, own in rules.items()}
    return {entry["name"]: entry for entry in drift.judge(differences, replace(LIMITS, columns=columns))}


def test_a_shift_must_be_significant_and_large() -> None:
    random = np.random.default_rng(0)
    many = random.normal(size=200_000)
    few = np.where(np.arange(len(many)) < 20, many, np.nan)
    entries = judged(
        {"moved": many, "hardly": many, "few": pl.Series(few).fill_nan(None), "same": many},
        {
            "moved": many + 0.2,
            "hardly": many + 0.02,
            "few": pl.Series(few + 0.3).fill_nan(None),
            "same": many,
        },
    )
    assert {name: entry["drifted"] for name, entry in entries.items()} == {
        "moved": True, "hardly": False, "few": False, "same": False
    }  # fmt: skip
    assert entries["hardly"]["p_adjusted"] < 1e-4
    assert entries["hardly"]["size"] == pytest.approx(0.02, rel=0.01)
    assert entries["few"]["size"] > 0.1
    found = drift.metrics({"columns": [*entries.values()], "share": 0.25}, entries)  # type: ignore[typeddict-item]
    assert found["drift.few"] == 0, "an effect that chance makes is none for a gate"
    assert found["drift.moved"] == entries["moved"]["size"]
    assert next(iter(entries)) == "moved", "the furthest moved comes first"


def test_a_column_has_limits_of_its_own() -> None:
    x = np.arange(10_000) / 10_000
    moved = {"a": x + 0.1, "b": x + 0.1}
    entries = judged(
        {"a": x, "b": x}, moved, b=ColumnDrift(threshold=0.5), a=ColumnDrift(effect="psi", threshold=0.05)
    )
    assert (entries["a"]["effect"], entries["a"]["drifted"], entries["b"]["drifted"]) == ("psi", True, False)


def test_an_effect_that_a_column_can_not_have_is_named() -> None:
    words = {"x": ["a", "b"] * 50}
    with pytest.raises(StageFailure, match=r"column 'x' has drift\.effect = 'wasserstein', which is for num"):
        judged(words, words, x=ColumnDrift(effect="wasserstein"))


def test_more_missing_values_are_drift() -> None:
    x = [float(i % 97) for i in range(5_000)]
    entries = judged({"x": x}, {"x": [None if i % 4 == 0 else v for i, v in enumerate(x)]})
    assert (entries["x"]["drifted"], entries["x"]["because"]) == (True, ["missing"])


def test_new_categories_are_named() -> None:
    entries = judged({"x": ["a"] * 60 + ["b"] * 40}, {"x": ["a"] * 60 + ["c"] * 40})
    assert (entries["x"]["drifted"], entries["x"]["new"]) == (True, ["c"])


@pytest.mark.parametrize(
    ("before", "now", "drifted"),
    [
        ([], [], False),
        ([None, None], [1.0, 2.0], False),  # nothing to compare, too few rows to miss
        ([1.0], [2.0], False),
        ([5.0] * 500, [5.0] * 500, False),
        ([5.0] * 500, [6.0] * 500, True),
        ([0.0] * 500, [1.0] * 500, True),
        ([math.inf] * 500, [math.inf] * 400, False),
        ([1.0, -math.inf] * 500, [1.0, -math.inf] * 400, False),
        ([math.nan, 1.0, 2.0] * 99, [math.nan, 1.0, 2.0] * 99, False),
        ([1e300, -1e300] * 500, [1e300, -1e300] * 500, False),
    ],
)
def test_odd_columns_have_a_defined_answer(before: list[Any], now: list[Any], drifted: bool) -> None:
    frames = [pl.LazyFrame({"x": pl.Series(v, dtype=pl.Float64)}).fill_nan(None) for v in (before, now)]
    readers = (lambda name, f=f: whole(f, name, "number") for f in frames)
    (entry,) = drift.judge(drift.differences(["x"], *readers, rows=1), LIMITS)
    assert entry["drifted"] is drifted
    json.dumps(entry, allow_nan=False)
