"""The search for bad slices: finds what is there, and claims nothing of what is not."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_pipeline.gate import slices
from ml_pipeline.gate.slices import Slices

pytestmark = pytest.mark.program

ROWS = 4000


def table(seed: int = 0, rows: int = ROWS) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "region": random.choice(["north", "south", "east"], rows),
            "job": [["clerk", "smith", "nurse", "cook", None][k] for k in random.integers(0, 5, rows)],
            "age": random.integers(18, 80, rows),
            "id": [f"p{row}" for row in range(rows)],
        }
    )


def search(frame: pl.DataFrame, right: Any, before: Any = None, named: tuple[str, ...] = ()) -> Slices:
    """Search where the truth is 1 throughout and an answer is 1 where it is right."""
    answers = right.astype(int), None if before is None else before.astype(int)
    found = slices.search(frame, named, np.ones(len(right), dtype=int), *answers, regression=False)
    assert found is not None
    return found


def smiths(frame: pl.DataFrame) -> Any:
    return frame.select(((pl.col("job") == "smith") & (pl.col("region") == "south")).fill_null(False))[
        :, 0
    ].to_numpy()


def test_the_slice_that_is_bad_is_found() -> None:
    frame = table()
    random = np.random.default_rng(1)
    right = random.random(ROWS) < np.where(smiths(frame), 0.6, 0.9)
    found = search(frame, right)
    ends = found.intervals(0.95)
    worst = found.worst(ends)
    assert found.names[worst] == "region = south, job = smith"
    assert found.sums["rows"][worst] == smiths(frame).sum()
    assert found.values()[worst] == pytest.approx(right[smiths(frame)].mean())
    low, high = found.bounds(ends)
    assert low < found.values()[worst] < high < 0.8
    assert not any(name.startswith("id") for name in found.names)
    assert "age = 18 to 33" in found.names
    assert "job = (missing)" in found.names


def test_a_loss_on_one_slice_is_found_though_another_is_worse_for_both() -> None:
    frame = table()
    random = np.random.default_rng(2)
    hard = (frame["region"] == "east").to_numpy()
    before = random.random(ROWS) < np.where(hard, 0.5, 0.9)
    right = before & ~(smiths(frame) & (random.random(ROWS) < 0.4))
    found = search(frame, right, before)
    assert found.names[found.worst(found.intervals(0.95))] == "region = east"
    ends = found.differences(0.95)
    assert found.names[found.most_lost(ends)] == "region = south, job = smith"
    assert found.bounds(ends)[1] < -0.1


def test_of_images_that_are_equally_good_hardly_one_search_in_forty_claims_a_loss() -> None:
    claims = 0
    for seed in range(200):
        frame, random = table(seed, 1000), np.random.default_rng(seed)
        base = random.random(1000) < 0.85
        right, before = (base ^ (random.random(1000) < 0.05) for _ in range(2))
        found = search(frame, right, before, ("region",))
        claims += found.bounds(found.differences(0.95))[1] < 0
    assert claims <= 5


def test_slices_of_the_same_rows_count_once() -> None:
    frame = table()
    code = pl.when(pl.col("region") == "north").then(1).otherwise(2).alias("code")
    right = np.random.default_rng(3).random(ROWS) < 0.8
    names = search(frame.with_columns(code), right).names
    assert "code = 2" in names
    assert "code = 1" not in names  # it is region = north
    assert not any(name.startswith("region = east, code") for name in names)


def test_where_no_loss_is_shown_the_likeliest_is_named() -> None:
    frame = table()
    random = np.random.default_rng(7)
    before = random.random(ROWS) < 0.9
    right = before & ~(smiths(frame) & (random.random(ROWS) < 0.02))
    found = search(frame, right, before)
    ends = found.differences(0.95)
    assert ends[1].min() >= 0
    assert "smith" in found.names[found.most_lost(ends)]


def test_equal_answers_lose_nothing() -> None:
    frame = table()
    right = np.random.default_rng(3).random(ROWS) < 0.8
    found = search(frame, right, right)
    low, high = found.differences(0.95)
    assert (low <= 0).all()
    assert (high >= 0).all()


def test_a_column_that_the_project_names_has_half_of_the_error() -> None:
    frame = table()
    right = np.random.default_rng(4).random(ROWS) < 0.8
    named, unnamed = search(frame, right, named=("job",)), search(frame, right)
    index = named.names.index("job = cook")
    other = unnamed.names.index("job = cook")
    width, before = (np.subtract(*found.intervals(0.95)) for found in (named, unnamed))
    assert width[index] > before[other]  # both are negative: the named one's is the narrower
    assert named.configured.sum() == 5


def test_regression_slices() -> None:
    frame = table()
    random = np.random.default_rng(5)
    truth = random.normal(size=ROWS)
    before = truth + random.normal(size=ROWS)
    candidate = truth + random.normal(size=ROWS) * np.where(smiths(frame), 2.0, 1.0)
    found = slices.search(frame, [], truth, candidate, before, regression=True)
    assert found is not None
    ends = found.intervals(0.95)
    worst = found.worst(ends)
    assert found.names[worst] == "region = south, job = smith"
    assert found.values()[worst] == pytest.approx(2, rel=0.15)
    assert found.bounds(ends)[0] > 1.3
    lost = found.differences(0.95)
    assert found.names[found.most_lost(lost)] == "region = south, job = smith"
    assert found.bounds(lost)[0] > 0.3


def test_no_slice_is_large_enough() -> None:
    frame = table(rows=40)
    right = np.ones(40, dtype=int)
    assert slices.search(frame, [], right, right, None, regression=False) is None
