"""Every type that a Parquet file can hold: what becomes of it, and what is refused by name."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.people import Project, people

pytestmark = pytest.mark.program

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


# Arrow's types that Polars does not write itself, as another program would; None: no model takes it.
ARROW: dict[str, tuple[pa.DataType, Any, str | None]] = {
    "float16": (pa.float16(), 0.5, "number"),
    "decimal32": (pa.decimal32(5, 2), Decimal("1.25"), "number"),
    "decimal64": (pa.decimal64(12, 2), Decimal("1.25"), "number"),
    "decimal128": (pa.decimal128(38, 10), Decimal("1.25"), "number"),
    "large_string": (pa.large_string(), "a", "string"),
    "string_view": (pa.string_view(), "a", "string"),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), "a", "string"),
    "dictionary of integers": (pa.dictionary(pa.int8(), pa.int64()), 7, "integer"),
    "json": (pa.json_(), '{"a": 1}', "string"),
    "date32": (pa.date32(), date(2024, 2, 29), "datetime"),
    "date64": (pa.date64(), date(2024, 2, 29), "datetime"),
    "seconds": (pa.timestamp("s"), NOON, "datetime"),
    "time32": (pa.time32("ms"), time(12, 30), None),
    "large_binary": (pa.large_binary(), b"a", None),
    "binary_view": (pa.binary_view(), b"a", None),
    "fixed_size_binary": (pa.binary(3), b"abc", None),
    "uuid": (pa.uuid(), b"0123456789abcdef", None),
    "large_list": (pa.large_list(pa.int64()), [1], None),
    "fixed_size_list": (pa.list_(pa.int64(), 2), [1, 2], None),
    "map": (pa.map_(pa.string(), pa.int64()), [("a", 1)], None),
}


def arrow(dtype: pa.DataType, value: Any) -> Any:
    values = [value if row % 2 else None for row in range(ROWS)]
    if isinstance(dtype, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(dtype, pa.array(values, dtype.storage_type))
    return pa.array(values, dtype)


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
    types = {column["name"]: column["type"] for column in project.report()["columns"]}
    assert {name: types[name] for name in TAKEN} == {
        name: column_type for name, (_, _, column_type) in TAKEN.items()
    }
    project.passes("split")
    assert project.read("train").height == 80


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_model_takes_is_named_unless_it_is_excluded(project: Project, name: str) -> None:
    put(project, {name: column(*REFUSED[name])})
    line = project.fails()
    assert line.startswith(f"column {name!r} is ")
    assert "which no model takes, and is not excluded" in line
    project.passes(exclude=[name])
    project.passes("split", exclude=[name])


def test_every_type_of_arrow_is_taken_or_named(project: Project) -> None:
    table = pa.table(people(ROWS) | {name: arrow(dtype, value) for name, (dtype, value, _) in ARROW.items()})
    pq.write_table(table, project.folder / "people.parquet")
    refused = [name for name, (_, _, column_type) in ARROW.items() if column_type is None]
    line = project.fails()
    assert f"column {refused[0]!r} is Time, which no model takes" in line
    assert {(name, "type") for name in refused} == project.rules()
    assert "0 violations" in project.passes(exclude=refused, reference="people.parquet")
    types = {column["name"]: column["type"] for column in project.report()["columns"]}
    assert {name: column_type for name, (_, _, column_type) in ARROW.items() if column_type} == {
        name: types[name] for name in ARROW if name not in refused
    }
    project.passes("split", exclude=refused)


def test_a_decimal_of_more_digits_than_can_be_held_is_one_line(project: Project) -> None:
    wide = pa.array([Decimal("1.25")] * ROWS, pa.decimal256(50, 10))
    pq.write_table(pa.table(people(ROWS) | {"wide": wide}), project.folder / "people.parquet")
    assert "precision must be between 1 and 38" in project.fails()
