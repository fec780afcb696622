"""Judge the image that ships: its answers to the holdout, its speed and its memory against the gates.

`prepare` turns the holdout into what images read; `judge` turns what they answered into a verdict.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ml_pipeline import rules
from ml_pipeline.rules import Decision, Measured
from ml_pipeline.stages import batches, probe, scoring
from ml_pipeline.stages.metrics import Answers, class_indices, probability_fault
from ml_pipeline.stages.outcome import StageFailure, run_stage
from ml_pipeline.stages.probe import Probe
from ml_pipeline.stages.scoring import Holdout, Quality, Task

STAGE = "validate-gate"
REQUESTS = 200
TOLERANCE = 1e-4  # between probabilities of one row computed in batches of different sizes


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


def judge(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, apply every gate, write verdict.json and return it; raises StageFailure when one blocks."""
    settings = _read_json(arguments.config)
    model = _read_json(arguments.model_json)
    reported = _reported(arguments.metrics)
    frame = batches.read_holdout(arguments.holdout)
    task = scoring.task_of(settings, model)
    truth = scoring.truth_of(frame, settings["target"], task)

    holdout = Holdout(frame, truth, task)
    columns = {"sensitive": settings.get("sensitive", []), "slice": settings.get("slices", [])}

    def quality_of(path: Path, who: str) -> tuple[Answers, Quality]:
        answers = scoring.answers_of(batches.read_npz(path), frame.height, task, who)
        return answers, scoring.judge_quality(holdout, answers, columns)

    answers, candidate = quality_of(arguments.predictions, "candidate")
    baseline = (
        quality_of(arguments.baseline_predictions, "baseline")[1] if arguments.baseline_predictions else None
    )
    requests = _read_json(arguments.requests)
    probed = probe.measure(arguments.url, requests["instances"])
    skew = compare(answers, requests["rows"], probed, task)

    # What the gate can measure itself is never taken from the training's word.
    own = {name: value for name, value in reported.items() if name not in rules.HIGHER_IS_BETTER}
    values = {**own, **candidate.scores.values, **probed.values}
    before = baseline.scores.values if baseline else {}
    measured = {name: Measured(value, before.get(name)) for name, value in values.items()}
    missing = {**candidate.scores.missing, **probed.missing}
    decisions = rules.decide(rules.gates_from(settings.get("gates", {})), measured, missing)
    verdict = {
        "format": 1,
        "passed": rules.passed(decisions) and not skew["differing"],
        "model": {key: model.get(key) for key in ("name", "version")},
        "task": settings["task"],
        "rows": frame.height,
        "metrics": values,
        "not_measured": missing,
        "reported": reported,
        "baseline": before or None,
        "gates": [decision.as_dict() for decision in decisions],
        "groups": [group.as_dict() for group in candidate.groups],
        "fairness": candidate.fairness,
        "skew": skew,
        "confusion": candidate.curves.get("confusion"),
        "roc": candidate.curves.get("roc"),
        "calibration": candidate.curves.get("calibration"),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    _write_json(arguments.output / "verdict.json", verdict)
    print(text(decisions, frame.height))
    _raise_if_blocked(decisions, skew, verdict)
    return verdict


def compare(answers: Answers, rows: Sequence[int], probed: Probe, task: Task) -> dict[str, Any]:
    """Compare what the batch command and /predict of the same image said about the same rows.

    The label of a row may differ only where its two best classes are as probable: a tie that rounding breaks.
    """
    batch = answers.predicted[list(rows)]
    if task.classes is None:
        served = np.asarray(probed.predictions, dtype=np.float64)
        apart = np.abs(batch - served)
        differing = ~np.isclose(batch, served, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    else:
        served = class_indices(probed.predictions, task.classes)
        differing, apart = batch != served, np.zeros(len(batch))
        both = (answers.probabilities, probed.probabilities)
        if not any(probability_fault(shares, len(task.classes)) for shares in both):
            shares = np.asarray(both[0], dtype=np.float64)[list(rows)]
            apart = np.abs(shares - np.asarray(both[1], dtype=np.float64)).max(axis=1)
            first_two = np.sort(shares, axis=1)[:, -2:]
            tie = np.ptp(first_two, axis=1) <= 2 * TOLERANCE
            differing = (apart > TOLERANCE) | (differing & ~tie)
    first = [int(rows[i]) for i in np.flatnonzero(differing)[:5]]
    return {
        "rows": len(rows),
        "differing": int(differing.sum()),
        "max_difference": float(np.max(apart, initial=0.0)),
        "first": first,
    }


def text(decisions: Sequence[Decision], rows: int) -> str:
    """Return the gates as lines for people."""
    lines = [f"{len(decisions)} gates on {rows:,} holdout rows"]
    for decision in decisions:
        gate, found = decision.gate, decision.measured
        bounds = (("min", gate.min), ("max", gate.max), ("max_regression", gate.max_regression))
        wanted = ", ".join(f"{name} {rules.number(bound)}" for name, bound in bounds if bound is not None)
        value = rules.number(found.value) if found else "-"
        optional = "" if gate.required else ", not required"
        note = f" ({decision.reason})" if decision.reason else ""
        lines.append(f"  {decision.status:12} {gate.metric} = {value}, {wanted}{optional}{note}")
    return "\n".join(lines)


def _raise_if_blocked(
    decisions: Sequence[Decision], skew: Mapping[str, Any], verdict: dict[str, Any]
) -> None:
    if skew["differing"]:
        cause = (
            f"the image's batch command and its /predict disagree on {skew['differing']} "
            f"of {skew['rows']} rows (first: holdout row {skew['first'][0]})"
        )
        raise StageFailure(cause, "let both run the same model on the same columns", verdict)
    if not rules.passed(decisions):
        raise StageFailure(*rules.failure(decisions, verdict["rows"]), verdict)


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
    path.write_text(json.dumps(_finite(document), indent=1, allow_nan=False))


def _finite(value: Any) -> Any:
    # JSON has no NaN: what is not a finite number becomes null.
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _arguments() -> argparse.Namespace:
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
    judging.add_argument(
        "--predictions", type=Path, required=True, help="what the candidate's batch command wrote"
    )
    judging.add_argument("--baseline-predictions", type=Path, help="what the baseline's wrote")
    judging.add_argument("--metrics", type=Path, help="metrics.json of the training; may be absent")
    judging.add_argument("--requests", type=Path, required=True, help="requests.json of `prepare`")
    judging.add_argument("--url", required=True, help="the running candidate, http://HOST:PORT")
    return parser.parse_args()


def main() -> None:
    """Run the command that the arguments name."""
    arguments = _arguments()
    if arguments.command == "prepare":
        run_stage(STAGE, lambda: prepare(arguments.holdout, arguments.model_json, arguments.output))
    run_stage(STAGE, lambda: judge(arguments))


if __name__ == "__main__":
    main()
