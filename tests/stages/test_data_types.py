"""Every type that a Parquet file can hold: what becomes of it, and what is refused by name."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from tests.stages.people import Project, people

ROWS = 100
NOON = datetime(2024, 5, 17, 12)
TAKEN: dict[str, tuple[Any, Any, str]] = {
    "int8": (pl.Int8, 7, "integer"),
    "int16": (pl.Int16, -300, "integer"),
    "int32": (pl.Int32, 70_000, "integer"),
    "int64": (pl.Int64, 2**60, "integer"),
    "uint8": (pl.UInt8, 200, "integer"),
    "uint16": (pl.UInt16, 60_000, "integer"),
    "uint32": (pl.UInt32, 4_000_000_000, "integer"),
    "uint64": (pl.UInt64, 5, "integer"),
    "float32": (pl.Float32, 0.5, "number"),
    "float64": (pl.Float64, 1e300, "number"),
    "decimal": (pl.Decimal(12, 2), Decimal("10.25"), "number"),
    "boolean": (pl.Boolean, True, "boolean"),
    "string": (pl.String, "a", "string"),
    "categorical": (pl.Categorical, "a", "string"),
    "enum": (pl.Enum(["a", "b"]), "b", "string"),
    "date": (pl.Date, date(2024, 2, 29), "datetime"),
    "milliseconds": (pl.Datetime("ms"), NOON, "datetime"),
    "microseconds": (pl.Datetime("us"), NOON, "datetime"),
    "nanoseconds": (pl.Datetime("ns"), NOON, "datetime"),
    "zoned": (pl.Datetime("us", "Asia/Tokyo"), NOON.replace(tzinfo=ZoneInfo("Asia/Tokyo")), "datetime"),
    "null": (pl.Null, None, "empty"),
}
REFUSED: dict[str, tuple[Any, Any]] = {
    "time": (pl.Time, time(12, 30)),
    "duration": (pl.Duration("us"), timedelta(hours=3)),
    "binary": (pl.Binary, b"\x00\x01"),
    "list": (pl.List(pl.Int64), [1, 2]),
    "array": (pl.Array(pl.Float64, 2), [1.0, 2.0]),
    "struct": (pl.Struct({"x": pl.Int64}), {"x": 1}),
}


def put(project: Project, columns: dict[str, pl.Series]) -> None:
    pl.DataFrame(people(ROWS) | columns).write_parquet(project.folder / "people.parquet")


def column(dtype: Any, value: Any) -> pl.Series:
    """Every other row has the value, the others have none."""
    return pl.Series([value if row % 2 else None for row in range(ROWS)], dtype=dtype)


def test_what_a_model_can_take_is_described_split_and_compared(project: Project) -> None:
    put(project, {name: column(dtype, value) for name, (dtype, value, _) in TAKEN.items()})
    said = project.passes(reference="people.parquet")
    assert "0 violations" in said
    assert "drifted" not in said
    kinds = {found["name"]: found["type"] for found in project.report()["columns"]}
    assert {name: kinds[name] for name in TAKEN} == {name: kind for name, (_, _, kind) in TAKEN.items()}
    project.passes("split")
    assert project.read("train").height == 80


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_model_takes_is_named_unless_it_is_excluded(project: Project, name: str) -> None:
    put(project, {name: column(*REFUSED[name])})
    line = project.fails()
    assert line.startswith(f"data: column {name!r} is ")
    assert "which no model takes, and is not excluded" in line
    project.passes(exclude=[name])
    project.passes("split", exclude=[name])
