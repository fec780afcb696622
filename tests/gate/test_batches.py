"""The holdout as arrays and as requests."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.gate import batches
from ml_pipeline.model import files
from ml_pipeline.model.signature import Column

pytestmark = pytest.mark.program


COLUMNS = [
    {"name": name, "type": kind}
    for name, kind in {
        "file": "integer",
        "b": "integer",
        "c": "string",
        "d": "boolean",
        "e": "datetime",
    }.items()
]


def test_batches_in_both_forms(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "file": [1, 2],
            "b": [3, None],
            "c": pl.Series(["ä", None], dtype=pl.Categorical),
            "d": [True, None],
            "e": [datetime(2024, 1, 1, 0, 0, 0, 500_000), None],
            "target": ["x", "y"],
        }
    )
    arrays = batches.features(frame, COLUMNS)
    path = tmp_path / "holdout.npz"
    batches.write_npz(path, arrays)
    back = batches.read_npz(path)
    assert list(back) == ["file", "b", "c", "d", "e"]
    assert {name: array.dtype.kind for name, array in back.items()} == {
        "file": "i",
        "b": "f",
        "c": "U",
        "d": "f",
        "e": "f",
    }
    seconds = datetime(2024, 1, 1, tzinfo=UTC).timestamp() + 0.5
    rows = batches.instances(back, COLUMNS, [0, 1])
    assert rows[0] == {"file": 1, "b": 3, "c": "ä", "d": True, "e": seconds}
    assert rows[1] == {"file": 2, "b": None, "c": None, "d": None, "e": None}
    assert '"b": 3, ' in json.dumps(rows)  # not 3.0
    complete = batches.features(frame.drop_nulls(), COLUMNS)
    assert {name: complete[name].dtype.kind for name in "bcd"} == {"b": "i", "c": "O", "d": "b"}


def test_a_time_with_a_zone_and_a_date_are_seconds_in_utc() -> None:
    zoned = pl.Series("e", [datetime(2024, 1, 1, tzinfo=UTC)]).dt.convert_time_zone("Asia/Tokyo")
    dated = pl.Series("e", [datetime(2024, 1, 1)]).cast(pl.Date)
    for series in (zoned, dated):
        arrays = batches.features(series.to_frame(), [{"name": "e", "type": "datetime"}])
        assert arrays["e"].tolist() == [1704067200.0]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"name": "zz", "type": "string"}, "the holdout lacks column 'zz', which the model reads"),
        ({"name": "c", "type": "integer"}, "column 'c' of the holdout is not all integer"),
    ],
)
def test_a_holdout_that_does_not_fit_the_model(column: dict[str, str], message: str) -> None:
    with pytest.raises(StageFailure, match=message):
        batches.features(pl.DataFrame({"c": ["a"]}), [column])


@pytest.mark.parametrize(("rows", "size", "wanted"), [(3, 200, [0, 1, 2]), (11, 3, [0, 5, 10]), (1, 5, [0])])
def test_sample(rows: int, size: int, wanted: list[int]) -> None:
    assert batches.sample(rows, size) == wanted


def test_one_long_text_makes_no_large_file(tmp_path: Path) -> None:
    texts = ["short", None, "\u00e4" * 60_000, *(f"text {row}" for row in range(500))]
    frame, path = pl.DataFrame({"c": texts, "b": range(len(texts))}), tmp_path / "holdout.npz"
    columns: list[Any] = [{"name": "c", "type": "string"}, {"name": "b", "type": "integer"}]
    batches.write_npz(path, batches.features(frame, columns))
    assert path.stat().st_size < 500_000
    (read,) = files.read(path, [Column("c", "string", True), Column("b", "integer", False)], 1_000)
    assert read["c"].tolist() == [text or "" for text in texts]
    with np.load(path, allow_pickle=False) as archive:  # as an image of an older version reads it
        assert archive["c"].tolist() == [text or "" for text in texts]
