"""What a CSV says: types over all files, texts that are numbers or missing, and what is told instead."""

import dataclasses
import gzip
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_pipeline.columns.arrays import to_array
from ml_pipeline.model import files as model_files
from ml_pipeline.model.signature import Column
from ml_pipeline.model.values import from_rows
from tests.data.tables import Tables, column, columns
from tests.programs import run

pytestmark = pytest.mark.program


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)


NUMBERS = [str(row) for row in range(20)]
READ: dict[str, tuple[list[str], str, list[Any], str]] = {
    "spaces": ([" 7", "8 ", "9"], "integer", [7, 8, 9], ","),
    "a plus": (["+7", "-8", "9"], "integer", [7, -8, 9], ","),
    "a minus of typographers": (["\u22127", "8"], "integer", [-7, 8], ","),
    "thousands": (["1,940", "12", "1,234,567"], "integer", [1940, 12, 1234567], ","),
    "thousands and decimals": (["1,940.5", "12", "7.25"], "number", [1940.5, 12, 7.25], ","),
    "spaces between thousands": (["1 940", "12"], "integer", [1940, 12], ","),
    "apostrophes between thousands": (["1'940", "12"], "integer", [1940, 12], ","),
    "percent": (["4.1%", "50 %"], "number", [0.041, 0.5], ","),
    "dollars": (["$1,234.50", "-$7"], "number", [1234.5, -7], ","),
    "euros behind": (["1234 €", "7 €"], "integer", [1234, 7], ","),
    "decimal commas": (["1,5", "1.234,75", "7"], "number", [1.5, 1234.75, 7], ";"),
    "an exponent": (["1e3", "-2.5E-1"], "number", [1000, -0.25], ","),
    "whole floats": (["37.0", "45.0"], "number", [37, 45], ","),
    **{
        f"missing as {marker}": (["7", marker, "9"], "integer", [7, None, 9], ",")
        for marker in ("NA", "N/A", "null", "NULL", "nan", "\\N", "?", "n/a", "None", "-", " ")
    },
    "missing among times": (["2024-02-01", "NA"], "datetime", [datetime(2024, 2, 1), None], ","),
    "missing among booleans": (["TRUE", "NA", "false"], "boolean", [True, None, False], ","),
    "dates": (["2024-02-01", "2023-12-31"], "datetime", [datetime(2024, 2, 1), datetime(2023, 12, 31)], ","),
    "times with zones": (["2024-02-01T10:00:00+02:00"], "datetime", [datetime(2024, 2, 1, 8)], ","),
    "true and false": (["True", "False"], "boolean", [True, False], ","),
    "yes and no": (["yes", "no"], "string", ["yes", "no"], ","),
    "dollars and euros": (["$5", "€6"], "string", ["$5", "€6"], ","),
    "some percentages": (["5%", "6"], "string", ["5%", "6"], ","),
    "ambiguous commas": (["1,940", "2,345"], "string", ["1,940", "2,345"], ";"),
    "a text": (["7", "Nadia", "NA"], "string", ["7", "Nadia", "NA"], ","),
}


@pytest.mark.parametrize("separator", [",", ";"])
def test_texts_are_read_as_what_they_certainly_are(tables: Tables, separator: str) -> None:
    chosen = {kind: case for kind, case in READ.items() if case[3] == separator}
    tables.put(
        {"t.csv": columns({kind: (texts * 12)[:12] for kind, (texts, *_) in chosen.items()}, separator)}
    )
    rows = tables.rows(holdout="t.csv")
    train = rows.filter(~rows["held"])
    expected = {kind: (values * 12)[:12] for kind, (_, _, values, _) in chosen.items()}
    assert {kind: train[kind].to_list() for kind in chosen} == expected
    types = tables.types()
    assert {kind: types[kind] for kind in chosen} == {kind: case[1] for kind, case in chosen.items()}
    # The image's batch command reads the same file as training did.
    text = json.loads((tables.output / "text.json").read_text())
    columns_ = [
        Column(kind, types[kind], True, decimal="," if kind in text["commas"] else ".") for kind in chosen
    ]
    (served,) = model_files.read(tables.folder / "t.csv", columns_, 100)
    for column_ in columns_:
        trained = to_array(train[column_.name], column_.type)
        np.testing.assert_array_equal(served[column_.name], trained, err_msg=column_.name)


FILES: dict[str, tuple[dict[str, str | bytes], dict[str, Any], dict[str, str]]] = {
    "one file without values": (
        {"t/a.csv": column(NUMBERS), "t/b.csv": column([""] * 3)}, {"path": "t"}, {"x": "integer"},
    ),
    "a file of a header": ({"t/a.csv": column(NUMBERS), "t/b.csv": "x,y\n"}, {"path": "t"}, {"x": "integer"}),
    "floats in the second": (
        {"t/a.csv": column(NUMBERS), "t/b.csv": column(["1.5"])}, {"path": "t"}, {"x": "number"},
    ),
    "columns in another order": (
        {"t/a.csv": column(NUMBERS), "t/b.csv": "y,x\n1.5,7\n"}, {"path": "t"},
        {"x": "integer", "y": "number"},
    ),
    "blank lines": ({"t.csv": column(NUMBERS).replace("\n5,", "\n\n\n5,") + "\n\n"}, {}, {"x": "integer"}),
    "semicolons": ({"t.csv": column(NUMBERS, separator=";")}, {}, {"x": "integer"}),
    "bars": ({"t.csv": column(NUMBERS, separator="|")}, {}, {"x": "integer"}),
    "tabs": ({"t.tsv": column(NUMBERS, separator="\t")}, {"path": "t.tsv"}, {"x": "integer"}),
    "a separator by its key": (
        {"t.csv": column([f"{number},5" for number in NUMBERS], separator=";")}, {"separator": ";"},
        {"x": "number"},
    ),
    "Latin-1": (
        {"t.csv": column(["Zürich", "Genève"] * 10).encode("latin-1")}, {"encoding": "latin-1"},
        {"x": "string"},
    ),
    "UTF-16": ({"t.csv": column(NUMBERS).encode("utf-16")}, {}, {"x": "integer"}),
    "a byte order mark": ({"t.csv": column(NUMBERS).encode("utf-8-sig")}, {}, {"x": "integer"}),
    "JSON lines": (
        {"t.jsonl": "".join(f'{{"x": {number}, "y": {number}.5, "z": "a"}}\n' for number in NUMBERS)},
        {"path": "t.jsonl"}, {"x": "integer", "y": "number", "z": "string"},
    ),
    "folders of Hive": (
        {f"t/year={year}/kind={kind}/a.csv": column(NUMBERS) for year in (2023, 2024) for kind in "ab"},
        {"path": "t"}, {"x": "integer", "year": "integer", "kind": "string"},
    ),
    "a nameless index": (
        {"t.csv": ",x,y\n" + "".join(f"{row},{row % 7},{row}\n" for row in range(20))}, {}, {"x": "integer"},
    ),
    "a comma at each line's end": (
        {"t.csv": "x,y,\n" + "".join(f"{row % 7},{row},\n" for row in range(20))}, {}, {"x": "integer"},
    ),
    "integers beyond 64 bits, excluded": (
        {"t.csv": column([f"1234567890123456789{row}" for row in range(20)], name="h")},
        {"exclude": ["h"]}, {"h": "string"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_files_are_read(tables: Tables, kind: str) -> None:
    files, changes, expected = FILES[kind]
    tables.put(files)
    types = tables.types(**changes)
    assert {name: types.get(name) for name in expected} == expected
    assert "" not in types


def test_a_packed_csv_is_read(tables: Tables) -> None:
    tables.put({"t.csv.gz": gzip.compress(column(NUMBERS).encode())})
    assert tables.types(path="t.csv.gz")["x"] == "integer"
    assert tables.types(path="*.gz")["x"] == "integer"


REFUSED: dict[str, tuple[dict[str, str | bytes], dict[str, Any], str]] = {
    "cp1252": (
        {"t.csv": column([*NUMBERS[:-1], "Z\u00fcrich"]).encode("cp1252")}, {},
        "t.csv is not text in UTF-8 (line 21)",
    ),
    "a wrong encoding": ({"t.csv": column(NUMBERS)}, {"encoding": "utf-99"}, "'utf-99' is not an encoding"),
    "Excel": ({"t.xlsx": b"PK\x03\x04" + b"\0" * 100}, {"path": "t.xlsx"}, "t.xlsx is an Excel workbook"),
    "zip": ({"t.csv": b"PK\x03\x04" + b"\0" * 100}, {}, "t.csv is a zip archive"),
    "a damaged gzip": ({"t.csv.gz": b"\x1f\x8b" + b"x" * 50}, {"path": "t.csv.gz"}, "is a damaged gzip file"),
    "integers beyond 64 bits": (
        {"t.csv": column([f"1234567890123456789{row}" for row in range(20)])}, {},
        "column 'x' has whole numbers beyond 64 bits, and is not excluded",
    ),
    "a nameless column": (
        {"t.csv": "x,,y\n" + "".join(f"{row},{row % 4},{row}\n" for row in range(20))}, {},
        "has no name for column 2",
    ),
    "rows without a target": (
        {"t.csv": column(NUMBERS) + "5,\n"}, {},
        "column 'y' has 1 value missing, and it is the target (row 21)",
    ),
    "different folders": (
        {"t/year=1/a.csv": column(NUMBERS), "t/month=1/a.csv": column(NUMBERS)}, {"path": "t"},
        "are in folders of different columns",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_named(tables: Tables, kind: str) -> None:
    files, changes, message = REFUSED[kind]
    tables.put(files)
    assert message in tables.validated(**changes)["failure"]


WARNED: dict[str, tuple[list[str], str, str]] = {
    "words among numbers": (
        ["7"] * 17 + ["tbd", "tbd", "unknown"], "mixed_types",
        "17 of its 20 values are numbers; others: 'tbd' (2), 'unknown' (1). "
        'If these mean missing, set missing = ["tbd", "unknown"]',
    ),
    "markers among words": (["clerk"] * 15 + ["NA"] * 5, "missing_marker", "has the text 'NA' (5)"),
    "times of the United States": (
        ["12/31/2024", "1/2/2025"] * 10, "mixed_types", 'set type = "datetime" and format = "%m/%d/%Y"',
    ),
    "times of Germany": (["31.12.2024", "1.2.2025"] * 10, "mixed_types", 'format = "%d.%m.%Y"'),
    "commas that may be decimal": (["1,940", "2,345"] * 10, "mixed_types", 'set decimal = "," or "."'),
    "some percentages": (["5%", "6"] * 10, "mixed_types", 'set type = "number"'),
    "row numbers": ([str(row + 1) for row in range(20)], "row_number", "is the number of each row"),
    "leading zeros": ([f"0{row % 7}" for row in range(20)], "code", "looks like a code"),
}  # fmt: skip


def test_what_is_not_certain_is_told_once(tables: Tables) -> None:
    tables.put({"t.csv": columns({kind: texts for kind, (texts, _, _) in WARNED.items()}, ";")})
    warnings = tables.warnings()
    for kind, (_, rule, message) in WARNED.items():
        assert message in warnings[kind, rule]
        assert [other for name, other in warnings if name == kind and other != "constant"] == [rule]


def test_titles_that_are_numbers_are_not_odd(tables: Tables) -> None:
    tables.put({"t.csv": column(["1984", "2001", *(f"film {row}" for row in range(18))])})
    assert not [rule for name, rule in tables.warnings() if name == "x"]


@pytest.mark.parametrize("name", ["Unnamed: 0", "__index_level_0__", "rownames", "customer_id", "zip"])
def test_keys_and_codes_are_told_by_their_names(tables: Tables, name: str) -> None:
    tables.put({"t.csv": column([str(10_000 + 7 * row % 23) for row in range(20)], name)})
    rules = {rule for column_name, rule in tables.warnings() if column_name == name}
    assert rules & {"key_like", "code", "row_number"}
    assert not {rule for column_name, rule in tables.warnings(exclude=[name]) if column_name == name}


def test_keys_say_what_is_meant(tables: Tables) -> None:
    tables.put(
        {
            "t.csv": "x;d;s;n;y\n"
            + "".join(
                f"1,94{row % 10};3/{row % 9 + 10}/2024;tbd;{-999 if row == 7 else row}.0;{row}\n"
                for row in range(20)
            )
        }
    )
    changes: dict[str, Any] = {
        "columns": {"d": {"type": "datetime", "format": "%m/%d/%Y"}},
        "missing": ["tbd", -999],
    }
    rows = tables.rows(decimal=",", **changes)
    assert 1.9 < rows["x"].max() < 2  # type: ignore[operator]  # numbers
    assert rows["d"].min() == datetime(2024, 3, 10)
    assert rows["s"].null_count() == 20
    assert rows["n"].null_count() == 1
    assert tables.rows(decimal=".", **changes)["x"].max() == 1949


def test_a_model_counts_the_same_values_as_missing(tables: Tables) -> None:
    columns_ = [
        Column("s", "string", True, missing=("tbd", -999)),
        Column("n", "number", True, missing=("tbd", -999)),
        Column("d", "datetime", True, missing=("tbd", -999), format="%m/%d/%Y"),
    ]
    tables.put({"t.csv": "s;n;d\ntbd;-999.0;12/31/2024\na;tbd;tbd\nb;1.5;2024-12-31\n"})
    (served,) = model_files.read(tables.folder / "t.csv", columns_, 100)
    rows = [{"s": "tbd", "n": -999.0, "d": "12/31/2024"}, {"s": "a", "n": None, "d": "tbd"},
            {"s": "b", "n": 1.5, "d": "2024-12-31T00:00:00Z"}]  # fmt: skip
    asked = from_rows(rows, columns_)
    day = datetime(2024, 12, 31, tzinfo=UTC).timestamp()
    expected = {"s": ["", "a", "b"], "n": [math.nan, math.nan, 1.5], "d": [day, math.nan, day]}
    for name, values in expected.items():
        np.testing.assert_array_equal(served[name], values)
        np.testing.assert_array_equal(asked[name], values)


def test_other_tables_are_read_with_the_types_of_the_training_data(tables: Tables) -> None:
    tables.put({
        "t.csv": "x,w,s,e,y\n" + "".join(f"{row},{row / 2},{row % 9},z,{row}\n" for row in range(40)),
        "held.csv": "x,w,s,y\n"
        + "".join(f"{'' if row == 3 else f'{row}.0'},{row},,{row}.5\n" for row in range(10)),
    })  # fmt: skip
    changes: dict[str, Any] = {
        "holdout": "held.csv",
        "reference": "held.csv",
        "exclude": ["e"],
        "columns": {"y": {"type": "number"}},
    }
    assert tables.types(**changes)["x"] == "integer"
    held = tables.rows(**changes).filter(held=True)
    assert held["x"].to_list() == [0, 1, 2, None, *range(4, 10)]
    assert held["w"].to_list() == [float(row) for row in range(10)]
    assert held["s"].null_count() == 10


def test_rows_without_a_target_are_left_out_by_a_key(tables: Tables) -> None:
    tables.put({"t.csv": column(NUMBERS) + "5,\n6,NA\n"})
    assert tables.rows(unlabelled="drop").height == 20
    assert "2 of 22 rows have no 'y'" in tables.warnings(unlabelled="drop")["y", "unlabelled"]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_groups_stay_on_one_side_of_the_split(tables: Tables, task: str) -> None:
    lines = [f"g{row // 3},{row % 5},{'no' if row % 4 else 'yes'},{row}" for row in range(300)]
    tables.put({"t.csv": "\n".join(["g,x,c,y", *lines])})
    changes: dict[str, Any] = {"group": "g", "task": task, "target": "c" if task == "classification" else "y"}
    rows = tables.rows(**changes)
    assert (
        "g" not in rows.filter(held=False).drop_nulls().columns
        or rows.filter(held=False)["g"].null_count() == 240
    )
    held = rows.filter(held=True)
    assert 50 <= held.height <= 70
    assert held["g"].value_counts()["count"].unique().to_list() == [3]
    if task == "classification":
        assert 0.2 < (held["c"] == "yes").mean() < 0.3  # type: ignore[operator]  # a number
    assert tables.rows(**changes).equals(rows)


def test_mostly_lets_some_values_break_a_rule(tables: Tables) -> None:
    tables.put({"t.csv": column([*("5" for _ in range(18)), "-1", "old"])})
    rules: dict[str, Any] = {"type": "integer", "min": 0}
    failure = tables.validated(columns={"x": rules})["failure"]
    assert "1 more violation" in failure or "column 'x' has 1 value" in failure
    warnings = tables.warnings(columns={"x": rules | {"mostly": 0.9}})
    assert "(row 19), which mostly = 0.9 allows" in warnings["x", "min"]
    assert "(row 20), which mostly = 0.9 allows" in warnings["x", "type"]
    assert "failure" in tables.validated(columns={"x": rules | {"mostly": 0.96}})


def test_infinities_are_missing_and_documents_stay_json(tables: Tables) -> None:
    texts = ["inf" if row == 3 else "-Infinity" if row == 5 else f"{row}.5" for row in range(20)]
    tables.put({"t.csv": column(texts)})
    warnings = tables.warnings()
    assert "column 'x' has 2 values that are infinite: they count as missing" in warnings["x", "infinite"]

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for document in ("report", "metrics"):
        json.loads((tables.output / f"{document}.json").read_text(), parse_constant=refuse)
    rows = tables.rows()
    assert rows["x"].null_count() == 2
    json.loads((tables.output / "record.json").read_text(), parse_constant=refuse)
    (served,) = model_files.read(tables.folder / "t.csv", [Column("x", "number", True)], 100)
    np.testing.assert_array_equal(np.isnan(served["x"]), ["nf" in text for text in texts])


def test_nothing_of_the_data_stays_behind(tables: Tables, tmp_path: Path) -> None:
    """Packed and foreign texts are decoded to a file first."""
    tables.put({"t.csv.gz": gzip.compress(column(NUMBERS).encode("utf-16"))})
    config = dataclasses.asdict(tables.settings(path="t.csv.gz", encoding="utf-16"))
    (tmp_path / "settings.json").write_text(json.dumps(config))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = ["--config", tmp_path / "settings.json", "--data", tables.folder, "--output", tables.output]
    done = run("data.split", *words, TMPDIR=str(scratch), ML_OUTCOME=str(tmp_path / "outcome.json"))
    assert done.returncode == 0, done.stderr
    assert list(scratch.iterdir()) == []
