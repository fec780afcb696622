"""The record of a table: what it keeps, what it says, and what images of older versions have."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from ml_pipeline.distributions import differences, record
from ml_pipeline.distributions.record import Categories, Numbers, Ranks, Record

pytestmark = pytest.mark.program

# As version 0.1.0 wrote it, before it had `predictions`: images in production have such files.
OLD = {
    "format": 1,
    "rows": 10,
    "columns": {
        "age": {
            "kind": "integer", "missing": 1, "values": [17, 40], "upto": [4, 9], "below": [0, 4],
            "spread": 11.5, "error": 0.1,
        },
        "job": {"kind": "string", "missing": 2, "counts": {"clerk": 6}, "other": 2},
    },
}  # fmt: skip


def numbers(values: list[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> Numbers:
    return Numbers("number", np.sort(np.asarray(values, np.float64)), 0)


def through(folder: Path, column: record.Column) -> record.Column:
    """What a file says of a column."""
    record.write(Record(column.rows, {"x": record.compact(column)}), folder / "record.json")
    return record.read(folder / "record.json").columns["x"]


def test_few_values_say_what_the_rows_say(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    before, now = random.integers(0, 50, 20_000) * 1.0, random.integers(5, 52, 9_000) * 1.0
    recorded = through(tmp_path, numbers(before))
    from_rows = differences.compare(numbers(before), numbers(now))
    from_record = differences.compare(recorded, numbers(now))
    assert recorded.rows == 20_000
    assert from_record.statistic == pytest.approx(from_rows.statistic)
    assert from_record.effects == pytest.approx(from_rows.effects)


def test_many_values_are_as_near_as_the_record_says(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    before, now = random.lognormal(size=50_000), random.lognormal(0.1, 1, 40_000)
    recorded = through(tmp_path, numbers(before))
    from_rows = differences.compare(numbers(before), numbers(now))
    from_record = differences.compare(recorded, numbers(now))
    assert isinstance(recorded, Numbers)
    assert 0 < from_record.error < 0.002
    assert from_rows.statistic is not None
    assert from_record.statistic is not None
    assert 0 <= from_rows.statistic - from_record.statistic <= from_record.error
    assert from_record.effects["wasserstein"] == pytest.approx(from_rows.effects["wasserstein"], rel=0.05)
    assert (tmp_path / "record.json").stat().st_size < 60_000


def test_no_category_of_a_few_rows_is_named(tmp_path: Path) -> None:
    column = Categories("string", {"clerk": 50, "smith": 40, "the only one": 1}, 9)
    assert through(tmp_path, column) == Categories("string", {"clerk": 50, "smith": 40}, 9, other=1)
    assert "the only one" not in (tmp_path / "record.json").read_text()


def test_infinity_is_kept_in_plain_json(tmp_path: Path) -> None:
    column = through(tmp_path, numbers([-math.inf, 1.0, math.inf, math.inf]))
    assert "Infinity" not in (tmp_path / "record.json").read_text()
    assert isinstance(column, Numbers)
    assert column.values.tolist() == [-math.inf, 1.0, math.inf]
    assert column.ranks is not None
    assert column.ranks.upto.tolist() == [1, 2, 4]


def test_a_file_of_an_older_version_is_read_and_written_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(OLD))
    old = record.read(path)
    age = old.columns["age"]
    assert (old.rows, old.predictions, list(old.columns)) == (10, None, ["age", "job"])
    assert isinstance(age, Numbers)
    assert (age.type, age.rows, age.missing, age.spread) == ("integer", 9, 1, 11.5)
    assert old.columns["job"] == Categories("string", {"clerk": 6}, 2, other=2)
    record.write(old, path)
    assert json.loads(path.read_text()) == OLD


def test_predictions_are_a_column_of_their_own(tmp_path: Path) -> None:
    path, answers = tmp_path / "record.json", Categories("string", {"no": 7, "yes": 3}, 0)
    record.write(Record(10, {}, answers), path)
    assert record.read(path) == Record(10, {}, answers)


def test_a_whole_column_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="compact"):
        record.write(Record(1, {"x": numbers([1.0])}), tmp_path / "record.json")


def test_another_format_is_named(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(json.dumps(OLD | {"format": 99}))
    with pytest.raises(record.RecordError, match="its format is 99, and this version reads format 1"):
        record.read(tmp_path / "record.json")


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "1", '{"format": 1}', '{"format": 1, "rows": 1, "columns": {"x": 1}}']
)
def test_what_is_not_a_record_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(record.RecordError):
        record.read(tmp_path / "record.json")


def test_a_file_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(record.RecordError, match="No such file"):
        record.read(tmp_path / "record.json")


def test_ranks_of_a_record_and_of_its_rows_agree() -> None:
    whole = numbers([1.0, 1.0, 2.0, 5.0])
    kept = record.compact(whole)
    assert isinstance(kept, Numbers)
    assert kept.ranks is not None
    assert (kept.ranks.upto.tolist(), kept.ranks.below.tolist()) == ([2, 3, 4], [0, 2, 3])
    cuts = np.array([0.0, 1.0, 4.0, 9.0])
    assert kept.rank(cuts).tolist() == whole.rank(cuts).tolist() == [0, 2, 3, 4]
    inner = Numbers(
        "number", np.array([-np.inf, 3.0, np.inf]), 0, Ranks(np.array([1, 4, 6]), np.array([0, 1, 4]))
    )
    finite = inner.finite()
    assert (finite.rows, finite.values.tolist()) == (3, [3.0])
