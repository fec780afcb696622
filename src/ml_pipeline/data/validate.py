"""Check the data: decide whether training may start.

    python -m ml_pipeline.data.validate --config settings.json --data FOLDER --output OUT

It writes OUT/report.json, with every violation and warning, OUT/metrics.json, whose numbers a gate may name,
and OUT/schema.toml. It fails when there is a violation.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import polars as pl

from ml_pipeline.columns.types import TableType
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data import command_line, describe, drift, leakage
from ml_pipeline.data.checks import check_table, unlike
from ml_pipeline.data.load import Loaded, load
from ml_pipeline.data.oddities import duplicated_keys, oddities
from ml_pipeline.data.reference import compared
from ml_pipeline.data.report import DriftReport, HoldoutReport, Report
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.violations import FIX, Violation, tolerated

_OR_WARN = 'or set [tool.ml-pipeline.data.{}] action = "warn"'
_MOVED = f"find out why the data moved, {_OR_WARN.format('drift')}"
_LEAKED = f"remove the leak (add its column to exclude), {_OR_WARN.format('leakage')}"
HINTS = {"drift": _MOVED} | dict.fromkeys(("predicts_target", "shared_rows", "time_order"), _LEAKED)


def validate(
    settings: Settings, folder: Path, output: Path, baseline: Path | None = None
) -> dict[str, object]:
    """Check the table, write the documents, and return the report. Raises StageFailure on any violation.

    `baseline` is the record that the image in production carries; `data.reference` goes before it.
    """
    loaded = load(settings, folder, "path")
    table, frame, violations, types = loaded.table, loaded.frame, loaded.violations, loaded.types
    violations, allowed = tolerated(violations + check_table(frame, settings), settings.columns)
    violations += duplicated_keys(frame, settings.key)
    report: Report = {
        "rows": frame.select(pl.len()).collect().item(),
        "columns": describe.columns(frame, types),
        "target": describe.target(frame, settings, types),
        "unnamed": [name for name in table.names if settings.columns and name not in settings.columns],
        "files": list(table.files),
        "sha256": table.digest,
        "drift": None,
        "violations": [],
        "warnings": [],
    }
    warnings = allowed + loaded.notes + oddities(frame, report["columns"], report["target"], settings, table)
    leaks = _leaks(frame, settings, types) if not violations else []
    if isinstance(settings.holdout, str):
        report["holdout"], holdout, wrong = _check_holdout(settings, folder, loaded)
        wrong, allowed = tolerated(wrong, settings.columns)
        warnings += allowed
        violations += wrong
        if not wrong:
            leaks += leakage.shared(frame, holdout, settings.leakage.shared)
            leaks += leakage.out_of_order(frame, holdout, settings.time)
            leaks += leakage.shared_groups(frame, holdout, settings.group)
    report["drift"] = _drift(settings, folder, baseline, loaded, violations)
    moved = drift.violations(report["drift"])
    for some, action in ((leaks, settings.leakage.action), (moved, settings.drift.action)):
        if action == "stop":
            violations += some
        else:
            warnings = [*some, *warnings]
    report["violations"] = [violation.report() for violation in violations]
    report["warnings"] = [warning.report() for warning in warnings]
    details = _write(report, frame, output, drift.metrics(report["drift"], types))
    describe.show(report, [violation.message for violation in (*violations, *warnings)])
    if violations:
        more = len(violations) - 1
        rest = f"; {more} more violation{'' if more == 1 else 's'}" if more else ""
        raise StageFailure(violations[0].message + rest, HINTS.get(violations[0].rule, FIX), details)
    return details


def _leaks(frame: pl.LazyFrame, settings: Settings, types: Mapping[str, TableType]) -> list[Violation]:
    features = {name: types[name] for name in settings.features(types)}
    scores = leakage.scores(frame, features, settings)
    return list(leakage.predictive(scores, settings.leakage.score, settings.target))


def _check_holdout(
    settings: Settings, folder: Path, training: Loaded
) -> tuple[HoldoutReport, pl.LazyFrame, list[Violation]]:
    loaded = load(settings, folder, "holdout", training)
    table, frame, violations = loaded.table, loaded.frame, loaded.violations
    violations += unlike(training.types, loaded.types, settings)
    if loaded.types[settings.target] == training.types[settings.target]:
        violations += check_table(frame, settings)
    rows = frame.select(pl.len()).collect().item()
    report: HoldoutReport = {"rows": rows, "files": list(table.files), "sha256": table.digest}
    named = [replace(violation, message=f"holdout: {violation.message}") for violation in violations]
    return report, frame, named


def _drift(
    settings: Settings,
    folder: Path,
    baseline: Path | None,
    loaded: Loaded,
    violations: Sequence[Violation],
) -> DriftReport | None:
    try:
        return compared(settings, folder, baseline, loaded)
    except StageFailure:
        if violations:  # they come first: a column that the data lacks can't be compared either
            return None
        raise


def _write(
    report: Report, frame: pl.LazyFrame, output: Path, metrics: Mapping[str, float | None]
) -> dict[str, object]:
    """Write the three documents; return the report in JSON's own types, as the outcome needs it."""
    output.mkdir(parents=True, exist_ok=True)
    text = _json(_finite(report))
    (output / "report.json").write_text(text)
    (output / "metrics.json").write_text(_json(_finite(metrics)))
    (output / "schema.toml").write_text(describe.schema(report, frame))
    document: dict[str, object] = json.loads(text)
    return document


def _json(document: object) -> str:
    return json.dumps(document, indent=1, default=str, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: object) -> object:
    """Return a document without the numbers that JSON does not have: null."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program on the command line's arguments."""
    parser = command_line.parser("data.validate", __doc__)
    parser.add_argument("--baseline-record", type=Path, help="the record.json of the image in production")
    options = parser.parse_args(arguments)
    command_line.run(
        "validate-data",
        options,
        lambda settings: validate(settings, options.data, options.output, options.baseline_record),
    )


if __name__ == "__main__":
    main()
