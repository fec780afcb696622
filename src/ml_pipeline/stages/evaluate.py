"""Judge the image that ships: its answers to the holdout, its speed and its memory against the gates.

`prepare` turns the holdout into what images read; `judge` turns what they answered into a verdict.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_pipeline import rules
from ml_pipeline.rules import Decision, Measured
from ml_pipeline.stages.judging import batches, metrics, probe, scoring, skew
from ml_pipeline.stages.judging.metrics import Answers
from ml_pipeline.stages.judging.scoring import Holdout, Quality
from ml_pipeline.stages.outcome import StageFailure, run_stage

STAGE = "validate-gate"
REQUESTS = 200
ASKED_OF_IMAGES = (
    *metrics.CLASSIFICATION,
    *metrics.FROM_PROBABILITIES,
    *metrics.REGRESSION,
    *scoring.FAIRNESS,
    *probe.MEASURES,
)


def prepare(holdout: Path, model_json: Path, output: Path) -> dict[str, Any]:
    """Write holdout.npz for the batch command and requests.json: {"rows": [i, …], "instances": [{…}, …]}."""
    frame, model = batches.read_holdout(holdout), _read_json(model_json)
    arrays = batches.features(frame, model["columns"])
    rows = batches.sample(frame.height, REQUESTS)
    output.mkdir(parents=True, exist_ok=True)
    batches.write_npz(output / "holdout.npz", arrays)
    requests = {"rows": rows, "instances": batches.instances(arrays, model["columns"], rows)}
    _write_json(output / "requests.json", requests)
    print(f"{frame.height:,} holdout rows, {len(arrays)} columns, {len(rows)} requests")
    return {"rows": frame.height, "columns": len(arrays), "requests": len(rows)}


@dataclass(frozen=True)
class Evidence:
    """What the images were found to do; of a project without an image, nothing."""

    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    baseline: dict[str, float] = field(default_factory=dict)
    quality: Quality = field(default_factory=Quality)
    skew: dict[str, Any] | None = None


def judge(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, apply every gate, write verdict.json and return it; raises StageFailure when one blocks."""
    settings, model = _read_json(arguments.config), _read_json(arguments.model_json)
    reported = _reported(arguments.metrics)
    frame = batches.read_holdout(arguments.holdout)
    if arguments.predictions:
        evidence = _examine(arguments, settings, model, frame)
        # What the gate measures itself is never taken from the training's word.
        own = {name: value for name, value in reported.items() if name not in rules.HIGHER_IS_BETTER}
    else:
        evidence = Evidence(missing=dict.fromkeys(ASKED_OF_IMAGES, "there is no image to ask"))
        own = reported
    values = own | evidence.values
    measured = {name: Measured(value, evidence.baseline.get(name)) for name, value in values.items()}
    decisions = rules.decide(rules.gates_from(settings.get("gates", {})), measured, evidence.missing)
    verdict: dict[str, Any] = _finite(
        {
            "format": 1,
            "passed": rules.passed(decisions) and not (evidence.skew and evidence.skew["differing"]),
            "model": {key: model.get(key) for key in ("name", "version")},
            "task": settings["task"],
            "rows": frame.height,
            "metrics": values,
            "not_measured": evidence.missing,
            "reported": reported,
            "baseline": evidence.baseline or None,
            "gates": [decision.as_dict() for decision in decisions],
            "groups": [group.as_dict() for group in evidence.quality.groups],
            "fairness": evidence.quality.fairness,
            "skew": evidence.skew,
            **{key: evidence.quality.curves.get(key) for key in ("confusion", "roc", "calibration")},
        }
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    _write_json(arguments.output / "verdict.json", verdict)
    print(text(decisions, frame.height))
    if evidence.skew and evidence.skew["differing"]:
        raise StageFailure(*skew.failure(evidence.skew), verdict)
    if not rules.passed(decisions):
        raise StageFailure(*rules.failure(decisions, frame.height), verdict)
    return verdict


def _examine(
    arguments: argparse.Namespace, settings: Mapping[str, Any], model: Mapping[str, Any], frame: Any
) -> Evidence:
    """Score what the images answered to the holdout, and ask the running candidate."""
    task = scoring.task_of(settings, model)
    holdout = Holdout(frame, scoring.truth_of(frame, settings["target"], task), task)
    columns = {"sensitive": settings.get("sensitive", []), "slice": settings.get("slices", [])}

    def scored(path: Path, who: str) -> tuple[Answers, Quality]:
        answers = scoring.answers_of(batches.read_npz(path), frame.height, task, who)
        return answers, scoring.judge_quality(holdout, answers, columns)

    answers, quality = scored(arguments.predictions, "candidate")
    baseline: dict[str, float] = {}
    if arguments.baseline_predictions:
        baseline = scored(arguments.baseline_predictions, "baseline")[1].scores.values
    requests = _read_json(arguments.requests)
    probed = probe.measure(arguments.url, requests["instances"])
    return Evidence(
        quality.scores.values | probed.values,
        quality.scores.missing | probed.missing,
        baseline,
        quality,
        skew.compare(answers, requests["rows"], probed, task),
    )


def text(decisions: Sequence[Decision], rows: int) -> str:
    """Return the gates as lines for people."""
    lines = [f"{len(decisions)} gate{'' if len(decisions) == 1 else 's'} on {rows:,} holdout rows"]
    for decision in decisions:
        gate, found = decision.gate, decision.measured
        bounds = (("min", gate.min), ("max", gate.max), ("max_regression", gate.max_regression))
        wanted = ", ".join(f"{name} {rules.number(bound)}" for name, bound in bounds if bound is not None)
        value = rules.number(found.value) if found else "-"
        optional = "" if gate.required else ", not required"
        note = f" ({decision.reason})" if decision.reason else ""
        lines.append(f"  {decision.status:12} {gate.metric} = {value}, {wanted}{optional}{note}")
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


def _finite(value: Any) -> Any:
    # JSON has no NaN: what is not a finite number becomes null.
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parse(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ml_pipeline.stages.evaluate", description=__doc__)
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
    judging.add_argument("--metrics", type=Path, help="metrics.json of the training; may be absent")
    judging.add_argument("--requests", type=Path, help="requests.json of `prepare`")
    judging.add_argument("--url", help="the running candidate, http://HOST:PORT")
    arguments = parser.parse_args(given)
    if arguments.command == "judge":
        image = [arguments.predictions, arguments.requests, arguments.url]
        if any(image) and not all(image):
            parser.error("--predictions, --requests and --url go together: they are one image's")
    return arguments


def main(given: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name."""
    arguments = _parse(given)
    if arguments.command == "prepare":
        run_stage(STAGE, lambda: prepare(arguments.holdout, arguments.model_json, arguments.output))
    run_stage(STAGE, lambda: judge(arguments))


if __name__ == "__main__":
    main()
