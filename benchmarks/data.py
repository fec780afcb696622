"""What checking data costs: drift, schema and reading, each beside what it would be done with otherwise.

    make .venv-benchmarks && .venv-benchmarks/bin/python benchmarks/data.py           about half an hour
    make .venv-benchmarks && .venv-benchmarks/bin/python benchmarks/data.py --quick   under a minute

Both sides run in one process on the same rows, alternating; figures are medians of the rounds' own
ratios, with the least and the greatest. Above 1, "vs" says that ours is that many times as fast;
"over" says how many times as long ours takes.

- drift: columns of normal numbers, every other one shifted by 0.01 standard deviations. Ours is the
  stage's own comparison, effects and picture included; scipy's is ks_2samp alone, column by column;
  Evidently's is its report of drift (the preset, with the KS test), and the tests of that alone; the sorts
  are np.sort of the same columns on the same cores
- schema: 20 columns with ranges, allowed values, a pattern, a key and nullability; ours reports counts,
  pandera's polars backend checks all of them lazily, and raw polars counts what breaks each rule; DuckDB
  counts the same out of a Parquet file, beside ours out of that file
- reading: a Parquet file opened, counted and digested, beside pyarrow's read of it
- not with --quick: 5 GB of Parquet and 1 GB of CSV under 2 GB of memory, by larger_than_memory.py

The last line is one JSON object with the median ratios, and for the last part GB on the disk and GB taken.
"""

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pandera.polars as pa
import polars as pl
import pyarrow.parquet as pq
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift
from evidently.presets import DataDriftPreset
from larger_than_memory import measure
from made import people, rules
from rounds import alternate, ratio, say
from scipy.stats import ks_2samp

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from ml_pipeline.data import drift, schema, tables
from ml_pipeline.data.recording import whole
from ml_pipeline.data.settings import Settings
from ml_pipeline.distributions import record
from ml_pipeline.project.data_rules import Column

pl.Config.set_engine_affinity("streaming")  # as where the stages open a table
RULES = {name: Column(**rule) for name, rule in rules().items()}
SETTINGS = Settings(path="", target="", task="regression", seed=0)
Tables = tuple[pl.DataFrame, pl.DataFrame]


def numbers(rows: int, columns: int, shifted: Callable[[int], bool]) -> Tables:
    random = np.random.default_rng(0)
    before = {f"c{i}": random.normal(size=rows) for i in range(columns)}
    now = {f"c{i}": random.normal(size=rows) + 0.01 * shifted(i) for i in range(columns)}
    return pl.DataFrame(before), pl.DataFrame(now)


def _read(frame: pl.LazyFrame, name: str) -> record.Column | None:
    return whole(frame, name, "number")


def ours(before: pl.DataFrame, now: pl.DataFrame) -> None:
    readers = [partial(_read, frame.lazy()) for frame in (before, now)]
    drift.judge(drift.differences(before.columns, *readers, rows=before.height), SETTINGS)


def by_scipy(before: pl.DataFrame, now: pl.DataFrame) -> None:
    for name in before.columns:
        ks_2samp(before[name].to_numpy(), now[name].to_numpy())


def sorts(before: pl.DataFrame, now: pl.DataFrame) -> None:
    columns = [frame[name].to_numpy() for name in before.columns for frame in (before, now)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(np.sort, columns))


def by_evidently(before: pl.DataFrame, now: pl.DataFrame, *, preset: bool) -> None:
    definition = DataDefinition(numerical_columns=before.columns)
    old, new = (Dataset.from_pandas(f.to_pandas(), data_definition=definition) for f in (before, now))
    tests = [ValueDrift(column=name, method="ks") for name in before.columns]
    Report([DataDriftPreset(num_method="ks")] if preset else tests).run(new, old).dict()


def drift_rounds(rows: int, columns: int, rounds: int, evidently_columns: int) -> dict[str, float]:
    figures = {}
    for shift, shifted in (
        ("half shifted", lambda i: i % 2 == 1),
        ("none", lambda _: False),
        ("all", lambda _: True),
    ):
        count = columns if shift == "half shifted" else max(2, columns // 5)
        before, now = numbers(rows, count, shifted)
        print(f"drift, {rows:,} + {rows:,} rows, {count} columns, shifted: {shift}")
        seconds = alternate(
            rounds,
            ours=partial(ours, before, now),
            scipy=partial(by_scipy, before, now),
            sorts=partial(sorts, before, now),
        )
        vs_scipy = say("times as fast as scipy", ratio(seconds["scipy"], seconds["ours"]))
        over_sort = say("times as long as the sorts", ratio(seconds["ours"], seconds["sorts"]))
        if shift == "half shifted":
            figures = {"drift_vs_scipy": vs_scipy, "drift_over_sort": over_sort}
            few = before.columns[:evidently_columns]
            seconds = alternate(
                rounds,
                ours=partial(ours, before[few], now[few]),
                preset=partial(by_evidently, before[few], now[few], preset=True),
                tests=partial(by_evidently, before[few], now[few], preset=False),
            )
            ratios = ratio(seconds["preset"], seconds["ours"])
            figures["drift_vs_evidently"] = say(f"times as fast as Evidently ({len(few)} columns)", ratios)
            ratios = ratio(seconds["tests"], seconds["ours"])
            figures["drift_vs_evidently_tests"] = say("  as its tests alone", ratios)
    return figures


def by_pandera(frame: pl.DataFrame) -> None:
    types = {"integer": pl.Int64, "number": pl.Float64, "string": pl.String}
    columns = {}
    for name, rule in rules().items():
        checks = [pa.Check.in_range(rule["min"], rule["max"])] if "min" in rule else []
        checks += [pa.Check.isin(rule["allowed"])] if "allowed" in rule else []
        checks += [pa.Check.str_matches(f"^{rule['pattern']}$")] if "pattern" in rule else []
        columns[name] = pa.Column(
            types[rule["type"]], checks, nullable=False, unique=rule.get("unique", False)
        )
    pa.DataFrameSchema(columns).validate(frame, lazy=True)


def by_polars(frame: pl.DataFrame) -> None:
    expressions = []
    for name, rule in rules().items():
        column = pl.col(name)
        expressions.append(column.is_null().sum().alias(f"{name} null"))
        if "min" in rule:
            expressions += [
                (column < rule["min"]).sum().alias(f"{name} min"),
                (column > rule["max"]).sum().alias(f"{name} max"),
            ]
        if "allowed" in rule:
            expressions.append((~column.is_in(rule["allowed"])).sum().alias(f"{name} allowed"))
        if "pattern" in rule:
            expressions.append(
                (~column.str.contains(f"^(?:{rule['pattern']})$")).sum().alias(f"{name} pattern")
            )
        if rule.get("unique"):
            expressions.append((~column.is_first_distinct()).sum().alias(f"{name} unique"))
    frame.lazy().select(expressions).collect()


def by_duckdb(path: Path) -> None:
    expressions = []
    for name, rule in rules().items():
        broken = [f"{name} IS NULL"]
        if "min" in rule:
            broken += [f"{name} < {rule['min']}", f"{name} > {rule['max']}"]
        if "allowed" in rule:
            listed = ", ".join(f"'{value}'" for value in rule["allowed"])
            broken.append(f"{name} NOT IN ({listed})")
        if "pattern" in rule:
            broken.append(f"NOT regexp_full_match({name}, '{rule['pattern']}')")
        expressions += [f"count(*) FILTER ({condition})" for condition in broken]
        if rule.get("unique"):
            expressions.append(f"count({name}) - count(DISTINCT {name})")
    duckdb.sql(f"SELECT {', '.join(expressions)} FROM read_parquet('{path}')").fetchall()  # noqa: S608 - no input


def schema_rounds(rows: int, rounds: int) -> dict[str, float]:
    frame = people(rows)
    print(f"schema, {rows:,} rows, {frame.width} columns")
    if schema.check(frame.lazy(), RULES):
        sys.exit("the clean table is not clean")
    seconds = alternate(
        rounds,
        ours=lambda: schema.check(frame.lazy(), RULES),
        pandera=lambda: by_pandera(frame),
        polars=lambda: by_polars(frame),
    )
    figures = {
        "schema_vs_pandera": say("times as fast as pandera", ratio(seconds["pandera"], seconds["ours"])),
        "schema_over_polars": say("times as long as raw polars", ratio(seconds["ours"], seconds["polars"])),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "people.parquet")
        frame.write_parquet(path)
        seconds = alternate(
            rounds,
            ours=lambda: schema.check(pl.scan_parquet(path), RULES),
            duckdb=lambda: by_duckdb(path),
        )
    ratios = ratio(seconds["duckdb"], seconds["ours"])
    return figures | {"schema_vs_duckdb": say("times as fast as DuckDB, from Parquet", ratios)}


def reading_rounds(rows: int, rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "people.parquet")
        people(rows).write_parquet(path)
        print(f"reading, {rows:,} rows, {path.stat().st_size / 1e6:.0f} MB of Parquet (in the page cache)")
        seconds = alternate(
            rounds,
            ours=lambda: tables.open_table(Path(folder), path.name),
            pyarrow=lambda: pq.read_table(path),
            bytes=path.read_bytes,
        )
    say("times as long as reading the bytes", ratio(seconds["ours"], seconds["bytes"]))
    return {
        "reading_over_pyarrow": say("times as long as pyarrow", ratio(seconds["ours"], seconds["pyarrow"]))
    }


def growth(sizes: list[int], rounds: int) -> None:
    print("growth, microseconds per thousand rows and column (least of the rounds)")
    for rows in sizes:
        before, now = numbers(rows, 4, lambda i: i % 2 == 1)
        frame = people(rows)
        seconds = alternate(rounds, drift=partial(ours, before, now),
                            schema=partial(schema.check, frame.lazy(), RULES))  # fmt: skip
        each = {"drift": 4, "schema": frame.width}
        shown = [f"{name} {min(took) * 1e9 / rows / each[name]:9.1f}" for name, took in seconds.items()]
        print(f"  {rows:>12,} rows   {'   '.join(shown)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer columns and rounds, under a minute")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore", module="scipy|evidently|pandera")
    ours(*numbers(1_000, 2, lambda _: False))  # what is imported at first use is no round's
    figures = drift_rounds(1_000_000, 4 if quick else 50, 3 if quick else 5, 1 if quick else 10)
    figures |= schema_rounds(1_000_000, 3 if quick else 5)
    figures |= reading_rounds(1_000_000, 3 if quick else 5)
    growth([10_000, 100_000, 1_000_000] + ([] if quick else [10_000_000]), 3)
    figures |= {} if quick else measure()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
