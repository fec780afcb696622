"""The data stage: `validate` decides whether training may start, `split` makes its two files.

    python -m ml_pipeline.data.validate validate --config settings.json --data FOLDER --output OUT
    python -m ml_pipeline.data.validate split    --config settings.json --data FOLDER --output OUT

`validate` writes OUT/report.json, with every violation and warning, OUT/metrics.json, whose numbers
a gate may name, and OUT/schema.toml; it fails when there is a violation.
`split` writes OUT/train.parquet (without the excluded columns), OUT/holdout.parquet and
OUT/record.json, which the next run compares its data with.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl

from ml_pipeline.columns.kinds import kind_of
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.data import describe, drift, leakage
from ml_pipeline.data import oddities as quality
from ml_pipeline.data.load import load
from ml_pipeline.data.recording import record_of
from ml_pipeline.data.reference import compared
from ml_pipeline.data.schema import FIX, Violation, check
from ml_pipeline.data.split import SET_HOLDOUT, holdout_rows, require_classes, taken, write
from ml_pipeline.data.tables import reason
from ml_pipeline.data.target import check_target
from ml_pipeline.distributions import record

_LET = 'or set [tool.ml-pipeline.data.{}] action = "warn"'
_MOVED = f"find out why the data moved, {_LET.format('drift')}"
_LEAKED = f"take the leak out (exclude names columns), {_LET.format('leakage')}"
HINTS = {"drift": _MOVED} | dict.fromkeys(("predicts_target", "shared_rows", "time_order"), _LEAKED)


def validate(
    settings: dict[str, Any], folder: Path, output: Path, baseline: Path | None = None
) -> dict[str, Any]:
    """Check the table, write what was found, and return the report. Raises `StageFailure` on any violation.

    `baseline` is the record that the image in production carries; `data.reference` goes before it.
    """
    table, frame, violations = load(settings, folder, "path")
    kinds = _kinds(frame)
    violations += _check(frame, settings, kinds) + quality.duplicated_keys(frame, settings.get("key") or [])
    described, target = describe.columns(frame, kinds), describe.target(frame, settings, kinds)
    columns = settings.get("columns") or {}
    report: dict[str, Any] = {
        "rows": frame.select(pl.len()).collect().item(),
        "columns": described,
        "target": target,
        "unnamed": [name for name in table.names if columns and name not in columns],
        "files": list(table.files),
        "sha256": table.digest,
    }
    warnings = quality.oddities(frame, described, target, table.text)
    leaks = _leaks(frame, settings, kinds) if not violations else []
    if isinstance(settings["holdout"], str):
        held, held_frame, found = _check_holdout(settings, folder, kinds)
        violations += found
        report["holdout"] = held
        if not found:
            leaks += leakage.shared(frame, held_frame, settings["leakage"]["shared"])
            leaks += leakage.out_of_order(frame, held_frame, settings.get("time"))
    try:
        moved = compared(settings, folder, baseline, frame, kinds)
    except StageFailure:
        if not violations:
            raise
        moved = None  # a column that is gone is gone from the comparison too
    report["drift"] = moved
    for found, action in (
        (leaks, settings["leakage"]["action"]),
        (drift.findings(moved), settings["drift"]["action"]),
    ):
        if action == "stop":
            violations += found
        else:
            warnings = [*found, *warnings]
    report |= {"violations": _dicts(violations), "warnings": _dicts(warnings)}
    output.mkdir(parents=True, exist_ok=True)
    _write(output / "report.json", report)
    _write(output / "metrics.json", drift.metrics(moved, kinds))
    (output / "schema.toml").write_text(describe.schema(report, frame))
    describe.show(report, [found.message for found in (*violations, *warnings)])
    if violations:
        more = len(violations) - 1
        rest = f"; {more} more violation{'' if more == 1 else 's'}" if more else ""
        raise StageFailure(violations[0].message + rest, HINTS.get(violations[0].rule, FIX), _plain(report))
    return _plain(report)


def split(settings: dict[str, Any], folder: Path, output: Path) -> dict[str, Any]:
    """Write the files; the holdout may be a file of its own. Raises `StageFailure` on a bad target."""
    table, frame, violations = load(settings, folder, "path")
    _require_target(frame, settings, violations)
    digests = {"data": table.digest}
    if isinstance(settings["holdout"], str):
        held_table, held, violations = load(settings, folder, "holdout")
        _require_target(held, settings, violations)
        held = _widened(held, _kinds(frame))
        if unlike := _unlike(_kinds(frame), _kinds(held)):
            raise StageFailure(f"holdout: {unlike[0].message}", SET_HOLDOUT)
        train, holdout = frame, held.select(table.names)
        digests["holdout"] = held_table.digest
    else:
        rows = holdout_rows(frame, settings)
        train, holdout = taken(frame, ~rows), taken(frame, rows)
    output.mkdir(parents=True, exist_ok=True)
    files = {name: output / f"{name}.parquet" for name in ("train", "holdout")}
    write(train.drop(settings.get("exclude") or []), files["train"])
    write(holdout, files["holdout"])
    train, holdout = (pl.scan_parquet(file) for file in files.values())
    if settings["task"] == "classification":
        require_classes(train, holdout, settings["target"])
    counts = [part.select(pl.len()).collect().item() for part in (train, holdout)]
    record.write(record_of(train, _kinds(train)), output / "record.json")
    print(f"{counts[0]} rows to train on, {counts[1]} held out")
    return {"train_rows": counts[0], "holdout_rows": counts[1], "sha256": digests}


def _kinds(frame: pl.LazyFrame) -> dict[str, str]:
    return {name: kind_of(dtype) for name, dtype in frame.collect_schema().items()}


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


def _leaks(frame: pl.LazyFrame, settings: dict[str, Any], kinds: dict[str, str]) -> list[Violation]:
    unused = {*(settings.get("exclude") or []), settings["target"]}
    features = {name: kind for name, kind in kinds.items() if name not in unused}
    scores = leakage.scores(frame, features, settings)
    return list(leakage.telling(scores, settings["leakage"]["score"], settings["target"]))


def _check_holdout(
    settings: dict[str, Any], folder: Path, kinds: dict[str, str]
) -> tuple[dict[str, Any], pl.LazyFrame, list[Violation]]:
    table, frame, violations = load(settings, folder, "holdout")
    frame = _widened(frame, kinds)
    held = _kinds(frame)
    violations += _unlike(kinds, held)
    same_kind = held[settings["target"]] == kinds[settings["target"]]
    violations += _check(frame, settings, held) if same_kind else []
    rows = frame.select(pl.len()).collect().item()
    summary = {"rows": rows, "files": list(table.files), "sha256": table.digest}
    return summary, frame, [replace(found, message=f"holdout: {found.message}") for found in violations]


def _widened(frame: pl.LazyFrame, kinds: Mapping[str, str]) -> pl.LazyFrame:
    """Take whole numbers for numbers where the training data has such: a short CSV may have no others."""
    whole = [name for name, kind in _kinds(frame).items() if (kind, kinds.get(name)) == ("integer", "number")]
    return frame.with_columns(pl.col(whole).cast(pl.Float64)) if whole else frame


def _unlike(kinds: Mapping[str, str], held: Mapping[str, str]) -> list[Violation]:
    """What the holdout lacks of the training data's columns, or has as another type."""
    found = []
    for name, kind in kinds.items():
        if name not in held:
            message = f"column {name!r} is not there ({nearest(name, held)})"
            found.append(Violation(name, "missing_column", message))
        elif held[name] != kind and "empty" not in {held[name], kind}:
            message = f"column {name!r} has type {held[name]}, in the training data {kind}"
            found.append(Violation(name, "type", message))
    return found


def _require_target(frame: pl.LazyFrame, settings: dict[str, Any], violations: Sequence[Violation]) -> None:
    """The values of other columns are for `validate` to judge; without a target nothing can be split."""
    found = [bad for bad in violations if bad.column in {settings["target"], settings.get("time")}]
    found = found or check_target(frame, settings)
    if found:
        raise StageFailure(found[0].message, FIX)


def _dicts(found: Sequence[Violation]) -> list[dict[str, Any]]:
    return [asdict(violation) for violation in found]


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, default=str, ensure_ascii=False) + "\n")


def _plain(report: dict[str, Any]) -> dict[str, Any]:
    """The report in JSON's own types, as the outcome needs it."""
    plain: dict[str, Any] = json.loads(json.dumps(report, default=str))
    return plain


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the data stage on the command line's arguments."""
    summary = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m ml_pipeline.data.validate", description=summary)
    parser.add_argument("command", choices=["split", "validate"], help="check the data, or write its files")
    parser.add_argument("--config", required=True, type=Path, help="the data stage's settings, JSON")
    parser.add_argument("--data", required=True, type=Path, help="the folder that paths are relative to")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write to")
    parser.add_argument("--baseline-record", type=Path, help="the record.json of the image in production")
    options = parser.parse_args(arguments)

    def body() -> dict[str, Any]:
        settings = json.loads(options.config.read_text())
        try:
            if options.command == "split":
                return split(settings, options.data, options.output)
            return validate(settings, options.data, options.output, options.baseline_record)
        except pl.exceptions.PolarsError as error:
            raise StageFailure(f"{settings['path']!r} can't be read: {reason(error)}", FIX) from error

    run_stage({"validate": "validate-data"}.get(options.command, options.command), body)


if __name__ == "__main__":
    main()
