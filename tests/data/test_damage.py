"""Forty kinds of damage to real data: each is found, by column and rule, and the whole data is clean."""

import contextlib
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.common.reading import read
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.validate import validate
from tests.people import settings

pytestmark = pytest.mark.program

ADULT = Path(__file__).resolve().parents[2] / "examples" / "adult" / "adult.parquet"
ROWS = 8_000
Damage = Callable[[pl.DataFrame], pl.DataFrame]

JOBS = ["Federal-gov", "Local-gov", "Never-worked", "Private", "Self-emp-inc", "Self-emp-not-inc"]
SCHEMA: dict[str, dict[str, Any]] = {
    "age": {"type": "integer", "min": 17, "max": 90, "nullable": False},
    "workclass": {"allowed": [*JOBS, "State-gov", "Without-pay"], "max_missing": 0.1},
    "education": {"type": "string", "pattern": "[A-Z0-9][A-Za-z0-9-]+"},
    "hours-per-week": {"type": "integer", "min": 1, "max": 99},
    "id": {"type": "integer", "unique": True},
    "seen": {"type": "datetime", "min": "2020-01-01"},
}


@pytest.fixture(scope="module")
def adult() -> pl.DataFrame:
    frame = pl.read_parquet(ADULT).head(ROWS).unique(maintain_order=True)
    times = pl.datetime_range(datetime(2020, 1, 1), datetime(2024, 1, 1), "1h", eager=True)
    return frame.with_columns(
        pl.int_range(pl.len()).alias("id"),
        times.head(frame.height).alias("seen"),
        (pl.int_range(pl.len()) % 7 / 7).alias("score"),
    )


def at(column: str, value: Any, *rows: int) -> Damage:
    """Put a value into some rows."""

    def damage(frame: pl.DataFrame) -> pl.DataFrame:
        here = pl.int_range(pl.len()).is_in(list(rows))
        return frame.with_columns(pl.when(here).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))

    return damage


def every(n: int, column: str, value: Any) -> Damage:
    return lambda frame: at(column, value, *range(0, frame.height, n))(frame)


def turned(column: str, value: pl.Expr) -> Damage:
    return lambda frame: frame.with_columns(value.alias(column))


def twice(frame: pl.DataFrame) -> pl.DataFrame:
    whole = pl.concat([frame, frame.head(100)])
    return whole.with_columns(pl.lit(None, pl.Int64).alias("id"))


TARGET_CODE = pl.col("income").cast(pl.Categorical).to_physical()
DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "below a minimum": (at("age", 3, 5), "age", "min"),
    "above a maximum": (at("age", 190, 5, 9), "age", "max"),
    "minus one for unknown": (every(50, "age", -1), "age", "min"),
    "999 for unknown": (every(50, "hours-per-week", 999), "hours-per-week", "max"),
    "a null where none may be": (at("age", None, 7), "age", "nullable"),
    "too much missing": (every(4, "workclass", None), "workclass", "max_missing"),
    "empty strings": (every(4, "workclass", ""), "workclass", "max_missing"),
    "an unknown category": (at("workclass", "Pirate", 11), "workclass", "allowed"),
    "another case": (at("workclass", "private", 11), "workclass", "allowed"),
    "a space at the end": (at("workclass", "Private ", 11), "workclass", "allowed"),
    "a pattern broken": (at("education", "?!", 3), "education", "pattern"),
    "text with a newline": (at("education", "HS-grad\n", 3), "education", "pattern"),
    "a repeated key": (at("id", 4, 6), "id", "unique"),
    "before time began": (at("seen", datetime(1970, 1, 1), 8), "seen", "min"),
    "numbers as text": (turned("age", pl.col("age").cast(pl.String)), "age", "type"),
    "fractions among integers": (turned("age", pl.col("age") + 0.5), "age", "type"),
    "truth for a number": (turned("age", pl.col("age") > 40), "age", "type"),
    "times as text": (turned("seen", pl.col("seen").cast(pl.String)), "seen", "type"),
    "numbers for text": (turned("education", pl.col("education").str.len_chars()), "education", "type"),
    "a column gone": (lambda f: f.drop("hours-per-week"), "hours-per-week", "missing_column"),
    "a column renamed": (lambda f: f.rename({"education": "Education"}), "education", "missing_column"),
    "a column of lists": (turned("score", pl.concat_list(pl.col("score"))), "score", "type"),
    "a target missing": (at("income", None, 2), "income", "target_missing"),
    "a target of one class": (turned("income", pl.lit("<=50K")), "income", "target_classes"),
    "a third class": (at("income", "<=50K.", 2), "income", "positive"),
    "a target of texts": (turned("income", pl.col("id").cast(pl.String)), "income", "target_classes"),
    "rows twice": (twice, "", "duplicate_rows"),
    "a constant": (turned("score", pl.lit(1.5)), "score", "constant"),
    "nothing in a column": (turned("score", pl.lit(None, pl.Float64)), "score", "all_missing"),
    "a name as a feature": (
        turned("education", "N" + pl.col("id").cast(pl.String)),
        "education",
        "too_distinct",
    ),
    "far outliers": (every(20, "score", 1e6), "score", "outliers"),
    "a rare class": (
        lambda f: f.filter((pl.col("income") == "<=50K") | (pl.col("id") % 50 == 0)),
        "income",
        "rare_class",
    ),
    "the target's copy": (turned("relationship", pl.col("income")), "relationship", "predicts_target"),
    "the target as a number": (turned("score", TARGET_CODE.cast(pl.Float64)), "score", "predicts_target"),
    "the target with noise": (
        turned("score", TARGET_CODE * 10 + pl.col("score")),
        "score",
        "predicts_target",
    ),
    "a shift": (turned("age", pl.min_horizontal(pl.col("age") + 5, 90)), "age", "drift"),
    "another unit": (turned("score", pl.col("score") * 100), "score", "drift"),
    "a wider spread": (turned("score", (pl.col("score") - 0.5) * 2 + 0.5), "score", "drift"),
    "a category grown": (every(3, "relationship", "Husband"), "relationship", "drift"),
    "a category replaced": (turned("gender", pl.col("gender").replace("Female", "F")), "gender", "drift"),
    "values gone missing": (every(5, "score", None), "score", "drift"),
    "a target moved": (every(4, "income", ">50K"), "income", "drift"),
}


def check(folder: Path, frame: pl.DataFrame) -> set[tuple[str, str]]:
    frame.write_parquet(folder / "now.parquet")
    columns = {name: dict(spec) for name, spec in SCHEMA.items()}
    document = settings(
        path="now.parquet", reference="adult.parquet", target="income", positive=">50K", columns=columns
    )
    with contextlib.suppress(StageFailure):
        validate(read(Settings, document), folder, folder / "out")
    report = json.loads((folder / "out" / "report.json").read_text())
    return {(finding["column"], finding["rule"]) for finding in report["violations"] + report["warnings"]}


@pytest.fixture(scope="module")
def folder(adult: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("damage")
    adult.write_parquet(made / "adult.parquet")
    return made


def test_clean_data_has_nothing_to_report(folder: Path, adult: pl.DataFrame) -> None:
    # True of the example, and nothing that a schema or a reference would call wrong.
    assert check(folder, adult) == {("hours-per-week", "outliers"), ("id", "row_number")}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_found_where_it_is(folder: Path, adult: pl.DataFrame, kind: str) -> None:
    damage, column, rule = DAMAGES[kind]
    assert (column, rule) in check(folder, damage(adult))
