"""Judge an image: its answers to the holdout, its speed and its memory are compared with the gates.

    python -m ml_pipeline.gate.evaluate prepare --holdout FILE --model-json FILE --output FOLDER
    python -m ml_pipeline.gate.evaluate judge --holdout FILE --model-json FILE --output FOLDER \\
        --config FILE --predictions FILE --requests FILE --candidate-url URL

`prepare` writes the holdout in the form that images read, and sampled requests. `judge` reads the images'
answers, asks the running candidate, and writes the verdict.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import polars as pl

from ml_pipeline.common import command_line, rules
from ml_pipeline.common.gates import CONFIDENCE, NO_REFERENCE, Difference, Measured
from ml_pipeline.common.metrics.table import METRICS
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.common.rules import Decision
from ml_pipeline.common.verdict import Digests, Verdict
from ml_pipeline.common.wording import number, shown
from ml_pipeline.gate import (
    answers,
    batches,
    behaviour,
    changed_requests,
    documents,
    examination,
    failure,
    probe,
    reference_scores,
    size,
    skew,
    verdict,
)
from ml_pipeline.gate.answers import Holdout, Task
from ml_pipeline.gate.documents import Requests, Settings, read_json
from ml_pipeline.gate.groups import Kind
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.probe import Probe
from ml_pipeline.gate.quality import Quality
from ml_pipeline.gate.verdict import Evidence
from ml_pipeline.model.signature import SignatureDocument, read_signature

REQUESTS = 200


def prepare(holdout: Path, model_json: Path, output: Path) -> dict[str, object]:
    """Write holdout.npz for the batch command and requests.json: {"rows": [i, …], "instances": [{…}, …]}."""
    frame, model = batches.read_holdout(holdout), read_signature(model_json).document()
    arrays = batches.features(frame, model["columns"])
    rows = batches.sample(frame.height, REQUESTS)
    output.mkdir(parents=True, exist_ok=True)
    batches.write_npz(output / "holdout.npz", arrays)
    requests = {"rows": rows, "instances": batches.instances(arrays, model["columns"], rows)}
    _write_json(output / "requests.json", requests)
    print(f"{frame.height:,} holdout rows, {len(arrays)} columns, {len(rows)} requests")
    return {"rows": frame.height, "columns": len(arrays), "requests": len(rows)}


def judge(arguments: argparse.Namespace) -> Verdict:
    """Measure, apply every gate, write verdict.json and return it; raises StageFailure when one blocks."""
    settings: Settings = read_json(arguments.config)
    model = read_signature(arguments.model_json).document()
    reported = documents.reported(arguments.metrics)
    frame = batches.read_holdout(arguments.holdout)
    if arguments.predictions:
        evidence = _examine(arguments, settings, model, frame, reported)
        # A metric of the gate is never taken from the training's report.
        own = {name: value for name, value in reported.items() if name not in METRICS}
    else:
        missing = {
            name: "there is no image to ask" for name, metric in METRICS.items() if metric.family != "data"
        }
        evidence, own = Evidence(Quality(missing=missing)), reported
    quality = evidence.quality
    quality.measured |= {name: Measured(value) for name, value in own.items() if name not in quality.measured}
    drift: dict[str, float | None] = read_json(arguments.data_metrics) if arguments.data_metrics else {}
    quality.measured |= {name: Measured(value) for name, value in drift.items() if value is not None}
    quality.missing |= {name: NO_REFERENCE for name, value in drift.items() if value is None}
    gates = documents.gates(settings.get("gates", {}))
    decisions = rules.decide(gates, quality.measured, quality.missing, frame.height)
    document = verdict.document(
        settings, model, frame.height, decisions, evidence, reported, _digests(arguments)
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    _write_json(arguments.output / "verdict.json", document)
    print(text(decisions, frame.height))
    if evidence.skew and evidence.skew["differing"]:
        raise StageFailure(*skew.failure(evidence.skew), dict(document))
    if not rules.passed(decisions):
        raise StageFailure(*failure.of(decisions, frame.height), dict(document))
    return document


def _examine(
    arguments: argparse.Namespace,
    settings: Settings,
    model: SignatureDocument,
    frame: pl.DataFrame,
    reported: Mapping[str, float],
) -> Evidence:
    """Score the images' answers to the holdout, and ask the running candidate."""
    task = answers.task_of(settings, model)
    units = answers.units_of(frame, settings.get("group"), settings.get("time"))
    holdout = Holdout(frame, answers.truth_of(frame, settings["target"], task), task, units)
    columns: dict[Kind, list[str]] = {
        "sensitive": settings.get("sensitive", []),
        "slice": settings.get("slices", []),
    }
    paths = {"candidate": arguments.predictions, "baseline": arguments.baseline_predictions}
    images = [
        answers.answers_of(batches.read_npz(path), frame.height, task, who)
        for who, path in paths.items()
        if path
    ]
    quality = examination.examine(holdout, images, columns, settings["target"])
    if arguments.references:
        asked = {
            name: keys["better_than"]
            for name, keys in settings.get("gates", {}).items()
            if keys.get("better_than")
        }
        reference_scores.add(quality, holdout, images[0], batches.read_npz(arguments.references), asked)
    shadow = _recorded(arguments, task) if len(images) > 1 else None
    requests: Requests = read_json(arguments.requests)
    probed, baseline = probe.measure(arguments.candidate_url, requests["instances"], arguments.baseline_url)
    classes = len(task.classes) if task.classes else None
    changed = changed_requests.measure(
        arguments.candidate_url,
        requests["instances"],
        probed,
        model["columns"],
        columns["sensitive"],
        regression=task.regression,
    )
    for part in (
        behaviour.of_answers(images, classes, units),
        behaviour.train_gap(reported, quality.measured, regression=task.regression),
        changed,
        behaviour.of_recorded(shadow, classes),
    ):
        quality.missing |= part.missing
        quality.measured |= {
            name: Measured(value, interval=part.intervals.get(name), where=part.where)
            for name, value in part.values.items()
        }
    start: dict[str, float] = read_json(arguments.start_metrics) if arguments.start_metrics else {}
    running = probed.values | start
    if arguments.candidate_root:
        running |= size.measure(arguments.candidate_root, arguments.base_root, arguments.compressed_mb)
    if arguments.baseline_root:
        baseline["image_mb"] = size.unpacked(arguments.baseline_root)
    quality.missing |= probed.missing
    quality.measured |= {
        name: _running(name, value, baseline.get(name), probed) for name, value in running.items()
    }
    return Evidence(
        quality,
        skew.compare(images[0], requests["rows"], probed, task),
        compared=len(images) > 1,
        requests=len(shadow[0].predicted) if shadow else None,
        units=units.count if units else None,
        in_time=not settings.get("group"),
    )


def _running(name: str, value: float, baseline: float | None, probed: Probe) -> Measured:
    """Return what was measured of the running image, with the interval that it has."""
    apart = probed.differences.get(name)
    difference = Difference(value - baseline, apart) if apart and baseline is not None else None
    why = probed.no_interval.get(name, "")
    return Measured(value, baseline, probed.intervals.get(name), difference, no_interval=why)


def _recorded(arguments: argparse.Namespace, task: Task) -> list[Answers]:
    """Return both images' answers to the recorded requests; nothing if there are none."""
    if not arguments.recorded_predictions:
        return []
    candidate = batches.read_npz(arguments.recorded_predictions)
    baseline = batches.read_npz(arguments.baseline_recorded_predictions)
    rows, what = len(candidate.get("predictions", ())), "recorded requests"
    return [
        answers.answers_of(candidate, rows, task, "candidate", what),
        answers.answers_of(baseline, rows, task, "baseline", what),
    ]


def text(decisions: Sequence[Decision], rows: int) -> str:
    """Return the gates as lines for people."""
    lines = [f"{len(decisions)} gate{'' if len(decisions) == 1 else 's'} on {rows:,} holdout rows"]
    for decision in decisions:
        gate, measured = decision.gate, decision.measured
        bounds = (("min", gate.min), ("max", gate.max), ("max_regression", gate.max_regression))
        limits = [f"{name} {number(bound)}" for name, bound in bounds if bound is not None]
        if gate.better_than:
            limits.append(f"better than {gate.better_than}")
        value = number(measured.value) if measured else "-"
        interval = measured.interval if measured else None
        ends = interval(gate.decided_at or CONFIDENCE) if interval else None
        optional = "" if gate.required else ", not required"
        note = f" ({decision.reason})" if decision.reason else ""
        status = decision.status.replace("-", " ")
        lines.append(
            f"  {status:12} {gate.metric} = {value}{shown(ends)}, {', '.join(limits)}{optional}{note}"
        )
    return "\n".join(lines)


def _write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=1, allow_nan=False))


def _digests(arguments: argparse.Namespace) -> Digests:
    return {
        "candidate": arguments.candidate_digest,
        "baseline": arguments.baseline_digest,
        "data": arguments.data_digest or _digest(arguments.holdout),
        "config": arguments.config_digest or _digest(arguments.config),
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command_line.parser("gate.evaluate", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    preparing = commands.add_parser("prepare", help="write holdout.npz and requests.json")
    judging = commands.add_parser("judge", help="apply the gates; write verdict.json; exit 1 when one blocks")
    for command in (preparing, judging):
        command.add_argument("--holdout", type=Path, required=True, help="holdout.parquet, with all columns")
        command.add_argument("--model-json", type=Path, required=True, help="model.json of the candidate")
        command.add_argument("--output", type=Path, required=True, help="the folder to write to")
    judging.add_argument(
        "--config", type=Path, required=True, help="settings as JSON: task, target, gates, …"
    )
    judging.add_argument("--predictions", type=Path, help="predictions.npz of the candidate")
    judging.add_argument("--baseline-predictions", type=Path, help="predictions.npz of the baseline")
    judging.add_argument("--recorded-predictions", type=Path, help="the same for recorded requests")
    judging.add_argument("--baseline-recorded-predictions", type=Path, help="the same for recorded requests")
    judging.add_argument("--references", type=Path, help="references.npz: the answers of simple models")
    judging.add_argument("--metrics", type=Path, help="metrics.json of the training; the file may be missing")
    judging.add_argument("--data-metrics", type=Path, help="metrics.json of validate-data")
    judging.add_argument("--requests", type=Path, help="requests.json of `prepare`")
    judging.add_argument("--start-metrics", type=Path, help="metrics.json of the candidate's cold starts")
    judging.add_argument("--candidate-url", help="the running candidate, http://HOST:PORT")
    judging.add_argument("--baseline-url", help="the running baseline, to compare the speed")
    judging.add_argument("--candidate-root", type=Path, help="the candidate's root filesystem")
    judging.add_argument("--base-root", type=Path, help="the root filesystem of its base image")
    judging.add_argument(
        "--compressed-mb", type=float, nargs=2, help="compressed sizes of the candidate and of its base"
    )
    judging.add_argument("--baseline-root", type=Path, help="the root filesystem of the baseline")
    for what, default in (
        ("candidate", "none"),
        ("baseline", "none"),
        ("data", "the holdout's"),
        ("config", "the settings'"),
    ):
        help_text = f"digest of the {what} for verdict.json; default: {default}"
        judging.add_argument(f"--{what}-digest", help=help_text)
    options = parser.parse_args(arguments)
    if options.command == "judge":
        image = [options.predictions, options.requests, options.candidate_url]
        if any(image) and not all(image):
            parser.error("--predictions, --requests and --candidate-url must be passed together")
        if bool(options.recorded_predictions) != bool(options.baseline_recorded_predictions):
            parser.error("--recorded-predictions and --baseline-recorded-predictions must be passed together")
        if bool(options.candidate_root) != bool(options.base_root):
            parser.error("--candidate-root and --base-root must be passed together")
    return options


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that the arguments name."""
    options = _parse(arguments)
    if options.command == "prepare":
        run_stage("prepare-holdout", lambda: prepare(options.holdout, options.model_json, options.output))
    run_stage("validate-gate", lambda: judge(options))


if __name__ == "__main__":
    main()
