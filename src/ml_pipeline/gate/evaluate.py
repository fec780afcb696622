"""Judge the image that ships: its answers to the holdout, its speed and its memory against the gates.

`prepare` turns the holdout into what images read; `judge` turns what they answered into a verdict.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_pipeline.common import rules
from ml_pipeline.common.metrics.table import METRICS
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.common.rules import Decision, Measured
from ml_pipeline.common.wording import number, shown
from ml_pipeline.gate import answers as scoring
from ml_pipeline.gate import batches, behaviour, probe, size, skew, verdict
from ml_pipeline.gate import examination as quality
from ml_pipeline.gate.answers import Holdout, Task
from ml_pipeline.gate.examination import Quality
from ml_pipeline.gate.metrics import Answers
from ml_pipeline.gate.verdict import Evidence
from ml_pipeline.model.signature import read_signature

REQUESTS = 200


def prepare(holdout: Path, model_json: Path, output: Path) -> dict[str, Any]:
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


def judge(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, apply every gate, write verdict.json and return it; raises StageFailure when one blocks."""
    settings, model = _read_json(arguments.config), read_signature(arguments.model_json).document()
    reported = _reported(arguments.metrics)
    frame = batches.read_holdout(arguments.holdout)
    if arguments.predictions:
        evidence = _examine(arguments, settings, model, frame, reported)
        # What the gate measures itself is never taken from the training's word.
        own = {name: value for name, value in reported.items() if name not in METRICS}
    else:
        missing = {
            name: "there is no image to ask" for name, metric in METRICS.items() if metric.family != "data"
        }
        evidence, own = Evidence(Quality(missing=missing)), reported
    measured = evidence.quality.measured
    measured |= {name: Measured(value) for name, value in own.items() if name not in measured}
    of_data = _read_json(arguments.data_metrics) if arguments.data_metrics else {}
    measured |= {name: Measured(value) for name, value in of_data.items() if value is not None}
    evidence.quality.missing |= dict.fromkeys(
        (name for name, value in of_data.items() if value is None), rules.NO_REFERENCE
    )
    gates = rules.gates_from(settings.get("gates", {}))
    decisions = rules.decide(gates, measured, evidence.quality.missing)
    found = verdict.document(settings, model, frame.height, decisions, evidence, reported)
    found["digests"] = {
        "candidate": arguments.candidate_digest,
        "baseline": arguments.baseline_digest,
        "data": arguments.data_digest or _digest(arguments.holdout),
        "config": arguments.config_digest or _digest(arguments.config),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    _write_json(arguments.output / "verdict.json", found)
    print(text(decisions, frame.height))
    if evidence.skew and evidence.skew["differing"]:
        raise StageFailure(*skew.failure(evidence.skew), found)
    if not rules.passed(decisions):
        raise StageFailure(*rules.failure(decisions, frame.height), found)
    return found


def _examine(
    arguments: argparse.Namespace,
    settings: Mapping[str, Any],
    model: Mapping[str, Any],
    frame: Any,
    reported: Mapping[str, float],
) -> Evidence:
    """Score what the images answered to the holdout, and ask the running candidate."""
    task = scoring.task_of(settings, model)
    holdout = Holdout(frame, scoring.truth_of(frame, settings["target"], task), task)
    columns = {"sensitive": settings.get("sensitive", []), "slice": settings.get("slices", [])}
    paths = {"candidate": arguments.predictions, "baseline": arguments.baseline_predictions}
    images = [
        scoring.answers_of(batches.read_npz(path), frame.height, task, who)
        for who, path in paths.items()
        if path
    ]
    found = quality.examine(holdout, images, columns, settings["target"])
    shadow = _recorded(arguments, task) if len(images) > 1 else None
    requests = _read_json(arguments.requests)
    probed, before = probe.measure(arguments.candidate_url, requests["instances"], arguments.baseline_url)
    asked = (arguments.candidate_url, requests["instances"], probed, model["columns"], columns["sensitive"])
    for part in (
        behaviour.of_answers(images, len(task.classes) if task.classes else None),
        behaviour.train_gap(reported, found.measured, regression=task.regression),
        behaviour.of_changed_requests(*asked, regression=task.regression),
        behaviour.of_recorded(shadow, len(task.classes) if task.classes else None),
    ):
        found.missing |= part.missing
        found.measured |= {
            name: Measured(value, interval=part.intervals.get(name), where=part.where)
            for name, value in part.values.items()
        }
    running = probed.values | (_read_json(arguments.start_metrics) if arguments.start_metrics else {})
    if arguments.candidate_root:
        running |= size.measure(arguments.candidate_root, arguments.base_root, arguments.compressed_mb)
    if arguments.baseline_root:
        before["image_mb"] = size.unpacked(arguments.baseline_root)
    found.missing |= probed.missing
    found.measured |= {name: Measured(value, before.get(name)) for name, value in running.items()}
    compared = skew.compare(images[0], requests["rows"], probed, task)
    return Evidence(found, compared, len(images) > 1, len(shadow[0].predicted) if shadow else None)


def _recorded(arguments: argparse.Namespace, task: Task) -> list[Answers]:
    """Return what both images said to the recorded requests; nothing where there are none."""
    if not arguments.recorded_predictions:
        return []
    told = batches.read_npz(arguments.recorded_predictions)
    before = batches.read_npz(arguments.baseline_recorded_predictions)
    rows, what = len(told.get("predictions", ())), "recorded requests"
    return [
        scoring.answers_of(told, rows, task, "candidate", what),
        scoring.answers_of(before, rows, task, "baseline", what),
    ]


def text(decisions: Sequence[Decision], rows: int) -> str:
    """Return the gates as lines for people."""
    lines = [f"{len(decisions)} gate{'' if len(decisions) == 1 else 's'} on {rows:,} holdout rows"]
    for decision in decisions:
        gate, found = decision.gate, decision.measured
        bounds = (("min", gate.min), ("max", gate.max), ("max_regression", gate.max_regression))
        wanted = ", ".join(f"{name} {number(bound)}" for name, bound in bounds if bound is not None)
        value = number(found.value) if found else "-"
        ends = found.interval(gate.decided_at or rules.CONFIDENCE) if found and found.interval else None
        optional = "" if gate.required else ", not required"
        note = f" ({decision.reason})" if decision.reason else ""
        status = decision.status.replace("-", " ")
        lines.append(f"  {status:12} {gate.metric} = {value}{shown(ends)}, {wanted}{optional}{note}")
    return "\n".join(lines)


def _reported(path: Path | None) -> dict[str, float]:
    """Read the training's own metrics.json, where there is one."""
    found = _read_json(path) if path is not None and path.exists() else {}
    for name, value in found.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            cause = f"metrics.json has {name!r} = {json.dumps(value)[:60]}, which is no number"
            raise StageFailure(cause, "let the training write name → number")
    return {name: float(value) for name, value in found.items()}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StageFailure(f"{path.name} can't be read: {error}", "run the stage that writes it") from None
    if not isinstance(found, dict):
        raise StageFailure(f"{path.name} is not one JSON object", "run the stage that writes it")
    return found


def _write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=1, allow_nan=False))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _parse(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ml_pipeline.gate.evaluate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    preparing = commands.add_parser("prepare", help="write holdout.npz and requests.json")
    judging = commands.add_parser("judge", help="apply the gates; write verdict.json; exit 1 when one blocks")
    for command in (preparing, judging):
        command.add_argument("--holdout", type=Path, required=True, help="the holdout, Parquet, all columns")
        command.add_argument("--model-json", type=Path, required=True, help="the candidate's signature")
        command.add_argument("--output", type=Path, required=True, help="a folder, made if need be")
    judging.add_argument(
        "--config", type=Path, required=True, help="settings as JSON: task, target, gates, …"
    )
    judging.add_argument("--predictions", type=Path, help="what the candidate's batch command wrote")
    judging.add_argument("--baseline-predictions", type=Path, help="what the baseline's wrote")
    judging.add_argument("--recorded-predictions", type=Path, help="the candidate's to recorded requests")
    judging.add_argument("--baseline-recorded-predictions", type=Path, help="the baseline's to them")
    judging.add_argument("--metrics", type=Path, help="metrics.json of the training; may be absent")
    judging.add_argument("--data-metrics", type=Path, help="metrics.json of the data stage: null is unknown")
    judging.add_argument("--requests", type=Path, help="requests.json of `prepare`")
    judging.add_argument("--start-metrics", type=Path, help="metrics.json of the candidate's cold starts")
    judging.add_argument("--candidate-url", help="the running candidate, http://HOST:PORT")
    judging.add_argument("--baseline-url", help="the running baseline; absent: it is not measured")
    judging.add_argument("--candidate-root", type=Path, help="the candidate's root filesystem, to be weighed")
    judging.add_argument("--base-root", type=Path, help="that of its base image")
    judging.add_argument(
        "--compressed-mb", type=float, nargs=2, help="the MB of the candidate and of its base in a registry"
    )
    judging.add_argument("--baseline-root", type=Path, help="the baseline's")
    for what, default in (
        ("candidate", "none"),
        ("baseline", "none"),
        ("data", "the holdout's"),
        ("config", "the settings'"),
    ):
        help_text = f"the {what}'s digest, for verdict.json; default: {default}"
        judging.add_argument(f"--{what}-digest", help=help_text)
    arguments = parser.parse_args(given)
    if arguments.command == "judge":
        image = [arguments.predictions, arguments.requests, arguments.candidate_url]
        if any(image) and not all(image):
            parser.error("--predictions, --requests and --candidate-url go together: they are one image's")
        if bool(arguments.recorded_predictions) != bool(arguments.baseline_recorded_predictions):
            parser.error("--recorded-predictions and --baseline-recorded-predictions go together")
        if bool(arguments.candidate_root) != bool(arguments.base_root):
            parser.error("--candidate-root and --base-root go together")
    return arguments


def main(given: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name."""
    arguments = _parse(given)
    if arguments.command == "prepare":
        run_stage(
            "prepare-holdout", lambda: prepare(arguments.holdout, arguments.model_json, arguments.output)
        )
    run_stage("validate-gate", lambda: judge(arguments))


if __name__ == "__main__":
    main()
