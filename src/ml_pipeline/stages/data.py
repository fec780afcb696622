"""The data stage: `validate` decides whether training may start, `split` makes its two files.

    python -m ml_pipeline.stages.data validate --config settings.json --data FOLDER --output OUT
    python -m ml_pipeline.stages.data split    --config settings.json --data FOLDER --output OUT

`validate` writes OUT/report.json, with every violation, and fails when there is one.
`split` writes OUT/train.parquet (without the excluded columns) and OUT/holdout.parquet.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl

from ml_pipeline.stages.dataset.kinds import kind_of
from ml_pipeline.stages.dataset.schema import FIX, Violation, check, conform
from ml_pipeline.stages.dataset.split import SET_HOLDOUT, require_classes, split_rows, write
from ml_pipeline.stages.dataset.tables import Table, open_table, reason
from ml_pipeline.stages.dataset.target import check_target, classes, require_columns
from ml_pipeline.stages.names import nearest
from ml_pipeline.stages.outcome import StageFailure, run_stage


def validate(settings: dict[str, Any], folder: Path, output: Path) -> dict[str, Any]:
    """Check the table, write the report, and return it. Raises `StageFailure` on any violation."""
    table, frame, violations = _load(settings, folder, settings["path"])
    found = {name: kind_of(dtype) for name, dtype in frame.collect_schema().items()}
    violations += _check(frame, settings, found)
    columns = settings.get("columns") or {}
    report = {
        "rows": frame.select(pl.len()).collect().item(),
        "columns": _describe(frame, found),
        "target": _balance(frame, settings, found),
        "unnamed": [name for name in table.names if columns and name not in columns],
        "files": list(table.files),
        "sha256": table.digest,
    }
    if isinstance(settings["holdout"], str):
        held, held_violations = _check_holdout(settings, folder, found)
        violations += held_violations
        report["holdout"] = held
    report["violations"] = [asdict(violation) for violation in violations]
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.json").write_text(json.dumps(report, indent=1, default=str, ensure_ascii=False) + "\n")
    _show(report)
    if violations:
        more = len(violations) - 1
        rest = f"; {more} more violation{'' if more == 1 else 's'}" if more else ""
        raise StageFailure(violations[0].message + rest, FIX, _plain(report))
    return _plain(report)


def split(settings: dict[str, Any], folder: Path, output: Path) -> dict[str, Any]:
    """Write the two files; the holdout may be a file of its own. Raises `StageFailure` on a bad target."""
    table, frame, violations = _load(settings, folder, settings["path"])
    _require_target(frame, settings, violations)
    whole = frame.collect()
    digests = {"data": table.digest}
    if isinstance(settings["holdout"], str):
        held_table, held, violations = _load(settings, folder, settings["holdout"])
        _require_target(held, settings, violations)
        lacks = [name for name in table.names if name not in held_table.names]
        if lacks:
            raise StageFailure(f"the holdout lacks column {lacks[0]!r}", SET_HOLDOUT)
        train, holdout = whole, held.select(table.names).collect()
        digests["holdout"] = held_table.digest
    else:
        train, holdout = split_rows(whole, settings)
    if settings["task"] == "classification":
        require_classes(train, holdout, settings)
    output.mkdir(parents=True, exist_ok=True)
    train = train.drop(settings.get("exclude") or [])
    write(train, output / "train.parquet")
    write(holdout, output / "holdout.parquet")
    print(f"{train.height} rows to train on, {holdout.height} held out")
    return {"train_rows": train.height, "holdout_rows": holdout.height, "sha256": digests}


def _load(settings: dict[str, Any], folder: Path, path: str) -> tuple[Table, pl.LazyFrame, list[Violation]]:
    columns = dict(settings.get("columns") or {})
    time = settings.get("time")
    as_text = {name for name, spec in columns.items() if spec.get("type")} | ({time} if time else set())
    hint = {"hint": SET_HOLDOUT} if path == settings["holdout"] else {}
    table = open_table(folder, path, as_text, **hint)
    require_columns(settings, table.names)
    if table.text and time and not columns.get(time, {}).get("type"):
        columns[time] = {**columns.get(time, {}), "type": _time_type(table, time)}
    frame, violations = conform(table, columns)
    return table, frame, violations


def _time_type(table: Table, time: str) -> str:
    """What orders a CSV's rows: numbers where all are, else times."""
    numbers = pl.col(time).cast(pl.Float64, strict=False)
    whole = table.frame.select((numbers.is_null() & pl.col(time).is_not_null()).sum()).collect().item() == 0
    return "number" if whole else "datetime"


def _check(frame: pl.LazyFrame, settings: dict[str, Any], kinds: dict[str, str]) -> list[Violation]:
    unused = {*(settings.get("exclude") or []), settings["target"]}
    schema = frame.collect_schema()
    other = [
        Violation(
            name, "type", f"column {name!r} is {schema[name]}, which no model takes, and is not excluded"
        )
        for name, kind in kinds.items()
        if kind == "other" and name not in unused
    ]
    return other + check_target(frame, settings) + check(frame, settings.get("columns") or {})


def _check_holdout(
    settings: dict[str, Any], folder: Path, kinds: dict[str, str]
) -> tuple[dict[str, Any], list[Violation]]:
    table, frame, violations = _load(settings, folder, settings["holdout"])
    held = {name: kind_of(dtype) for name, dtype in frame.collect_schema().items()}
    for name, kind in kinds.items():
        if name not in held:
            message = f"column {name!r} is not there ({nearest(name, held)})"
            violations.append(Violation(name, "missing_column", message))
        elif held[name] != kind and "empty" not in {held[name], kind}:
            message = f"column {name!r} has type {held[name]}, in the training data {kind}"
            violations.append(Violation(name, "type", message))
    same_kind = held[settings["target"]] == kinds[settings["target"]]
    violations += _check(frame, settings, held) if same_kind else []
    rows = frame.select(pl.len()).collect().item()
    summary = {"rows": rows, "files": list(table.files), "sha256": table.digest}
    return summary, [replace(found, message=f"holdout: {found.message}") for found in violations]


def _require_target(frame: pl.LazyFrame, settings: dict[str, Any], violations: Sequence[Violation]) -> None:
    """The values of other columns are for `validate` to judge; without a target nothing can be split."""
    found = [bad for bad in violations if bad.column in {settings["target"], settings.get("time")}]
    found = found or check_target(frame, settings)
    if found:
        raise StageFailure(found[0].message, FIX)


def _describe(frame: pl.LazyFrame, kinds: dict[str, str]) -> list[dict[str, Any]]:
    """By column: kind, missing and distinct values, and the range or the most frequent value."""
    rows = frame.select(pl.len()).collect().item()
    described = []
    for name, kind in kinds.items():
        column = pl.col(name)
        wanted = {"missing": column.null_count()}
        if kind != "other":
            wanted["distinct"] = column.drop_nulls().n_unique()
        if kind in {"integer", "number", "datetime"}:
            wanted |= {"min": column.min(), "max": column.max()}
        if kind in {"integer", "number"}:
            wanted |= {"mean": column.mean(), "median": column.median()}
        if kind in {"string", "boolean"}:
            wanted["top"] = column.drop_nulls().mode(maintain_order=True).first()
        figures = frame.select(value.alias(key) for key, value in wanted.items()).collect().row(0, named=True)
        share = figures["missing"] / rows
        described.append({"name": name, "type": kind, "missing_share": share, **figures})
    return described


def _balance(frame: pl.LazyFrame, settings: dict[str, Any], kinds: dict[str, str]) -> dict[str, Any]:
    target = settings["target"]
    balance = {"name": target, "type": kinds[target], "task": settings["task"]}
    if settings["task"] == "classification" and kinds[target] not in {"other", "datetime"}:
        counts = classes(frame, target)
        few = dict(sorted(counts.items(), key=lambda item: -item[1])[:100])
        balance |= {"classes": {str(name): count for name, count in few.items()}, "distinct": len(counts)}
    return balance


def _plain(report: dict[str, Any]) -> dict[str, Any]:
    """The report in JSON's own types, as the outcome needs it."""
    plain: dict[str, Any] = json.loads(json.dumps(report, default=str))
    return plain


def _show(report: dict[str, Any]) -> None:
    print(f"{report['rows']} rows, {len(report['columns'])} columns, {len(report['violations'])} violations")
    width = max(len(column["name"]) for column in report["columns"])
    for column in report["columns"]:
        missing = f"{column['missing_share']:.1%} missing" if column["missing"] else ""
        distinct = f"{column['distinct']} distinct" if "distinct" in column else ""
        print(f"  {column['name']:{width}}  {column['type']:8}  {distinct:>18}  {missing}".rstrip())
    for violation in report["violations"][:20]:
        print(f"- {violation['message']}")
    if len(report["violations"]) > 20:
        print(f"- and {len(report['violations']) - 20} more, in report.json")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the data stage on the command line's arguments."""
    summary = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m ml_pipeline.stages.data", description=summary)
    commands = {"validate": validate, "split": split}
    parser.add_argument("command", choices=sorted(commands), help="check the data, or write its files")
    parser.add_argument("--config", required=True, type=Path, help="the data stage's settings, JSON")
    parser.add_argument("--data", required=True, type=Path, help="the folder that paths are relative to")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write to")
    options = parser.parse_args(arguments)

    def body() -> dict[str, Any]:
        settings = json.loads(options.config.read_text())
        try:
            return commands[options.command](settings, options.data, options.output)
        except pl.exceptions.PolarsError as error:
            raise StageFailure(f"{settings['path']!r} can't be read: {reason(error)}", FIX) from error

    run_stage("data", body)


if __name__ == "__main__":
    main()
