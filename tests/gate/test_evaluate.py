"""The gate on real images' programs: `prepare`, their batch command, their server, `judge`."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_pipeline.gate import references
from tests.gate.candidate import ROWS, Gate
from tests.programs import run

pytestmark = [pytest.mark.program, pytest.mark.usefixtures("short_measurements")]


def test_a_model_that_may_ship(gate: Gate) -> None:
    gates = {
        "accuracy": {"min": 0.8, "max_regression": 0.01},
        "latency_p95_ms": {"max": 1000},
        "memory_mb": {"max": 4000},
        "demographic_parity_difference": {"max": 0.5},
        "drift_share": {"max": 0.5, "required": False},
    }
    settings = {"gates": gates, "sensitive": ["region"], "slices": ["job", "age"]}
    arrays = gate.folder / "references.npz"
    details = references.answer(
        {"task": "classification", "target": "joined"}, gate.holdout, gate.holdout, arrays
    )
    assert details == {"rows": ROWS, "columns": 5}
    code, verdict, line = gate.judge(settings, references=arrays)
    assert (code, line) == (0, "")
    assert set(verdict["references"]) == {"constant", "linear", "boosting"}
    assert verdict["references"]["constant"]["roc_auc"] == 0.5
    assert verdict["references"]["constant"]["accuracy"] < verdict["references"]["boosting"]["accuracy"]
    assert verdict["no_better"] == {}
    assert verdict["passed"]
    assert verdict["model"] == {"name": "club", "version": "0123456789ab"}
    assert verdict["rows"] == ROWS
    assert [entry["status"] for entry in verdict["gates"]] == ["passed"] * 4 + ["not-measured"]
    assert verdict["gates"][0]["reason"] == "no baseline to compare with"
    assert verdict["metrics"]["accuracy"] == pytest.approx(0.9, abs=0.03)
    assert set(verdict["metrics"]) >= {"roc_auc", "brier", "throughput_rows_per_s", "latency_p50_ms"}
    assert 10 < verdict["metrics"]["memory_mb"] < 4000
    batch = [verdict["metrics"][f"batch_latency_p{p}_ms"] for p in (50, 95, 99)]
    assert 0 < batch[0] <= batch[1] <= batch[2]
    assert 0 < verdict["metrics"]["latency_p50_ms"] <= verdict["metrics"]["latency_p99_ms"]
    assert verdict["skew"]["rows"] == 200
    assert verdict["skew"]["differing"] == 0
    assert verdict["baseline"] is None
    low, high = verdict["intervals"]["accuracy"]
    assert low < verdict["metrics"]["accuracy"] < high
    assert high - low == pytest.approx(2 * 1.96 * (0.9 * 0.1 / ROWS) ** 0.5, rel=0.15)
    assert verdict["metrics"]["out_of_range_errors"] == 0
    assert verdict["metrics"]["missing_value_refusals"] == 0
    assert verdict["not_measured"]["sensitive_flip_rate"] == "the model reads no sensitive column"
    assert verdict["digests"]["candidate"] is None
    assert verdict["digests"]["data"].startswith("sha256:")
    assert sum(map(sum, verdict["confusion"]["matrix"])) == ROWS
    assert {(group["kind"], group["column"]) for group in verdict["groups"]} == {
        ("sensitive", "region"),
        ("slice", "job"),
        ("slice", "age"),
    }
    missing = next(group for group in verdict["groups"] if group["group"] == "(missing)")
    assert (missing["rows"], missing["accuracy"]) == (8, None)


def test_a_simple_model_to_beat(gate: Gate) -> None:
    arrays = gate.folder / "references.npz"
    references.answer({"task": "classification", "target": "joined"}, gate.holdout, gate.holdout, arrays)
    sure = {"confidence": 0.95}
    gates = {"f1": {"better_than": "constant"} | sure, "roc_auc": {"better_than": "linear"} | sure}
    code, verdict, line = gate.judge({"gates": gates}, references=arrays)
    assert (code, [entry["status"] for entry in verdict["gates"]]) == (1, ["passed", "not-enough-evidence"])
    assert [entry["better_than"] for entry in verdict["gates"]] == ["constant", "linear"]
    assert re.search(r"roc_auc: not enough evidence: 0\.\d+ may be no better than linear's 0\.\d+", line)


def test_the_program_as_the_container_runs_it(gate: Gate) -> None:
    gate.judge({"gates": {"accuracy": {"min": 0.99}}})  # leaves its settings behind
    shared = (
        "--holdout",
        gate.holdout,
        "--model-json",
        gate.model / "model.json",
        "--output",
        gate.folder / "run",
    )
    answers = ("--predictions", gate.folder / "predictions.npz", "--requests", gate.folder / "requests.json")
    settings = ("--config", gate.folder / "settings.json", "--candidate-url", gate.url)
    outcome = gate.folder / "outcome.json"
    result = run("gate.evaluate", "judge", *shared, *answers, *settings, ML_OUTCOME=str(outcome))
    assert result.returncode == 1
    assert result.stdout.startswith("1 gate on 400 holdout rows\n  failed       accuracy = 0.")
    (line,) = result.stderr.splitlines()
    assert line.startswith("validate-gate: accuracy 0.")
    told = json.loads(outcome.read_text())
    assert (told["stage"], told["status"]) == ("validate-gate", "failed")
    assert told["details"] == json.loads((gate.folder / "run" / "verdict.json").read_text())


def test_a_gate_that_fails_stops_it_and_every_gate_is_judged(gate: Gate) -> None:
    gates = {"accuracy": {"min": 0.99}, "recall": {"min": 0.1}, "roc_auc": {"max": 0.1}}
    code, verdict, line = gate.judge({"gates": gates})
    accuracy, area = (verdict["metrics"][name] for name in ("accuracy", "roc_auc"))
    assert code == 1
    assert line == (
        f"validate-gate: accuracy {accuracy:.4f} is below min 0.99, roc_auc {area:.4f} is above max 0.1 "
        "(400 holdout rows); improve the model or lower [tool.ml-pipeline.gates] accuracy.min"
    ).replace("0 is", " is")
    assert not verdict["passed"]
    assert [entry["status"] for entry in verdict["gates"]] == ["failed", "passed", "failed"]


@pytest.mark.parametrize(
    ("gates", "line"),
    [
        (
            {"acuracy": {"min": 0.1, "required": False}},
            "acuracy no such metric; the nearest are accuracy, balanced_accuracy",
        ),
        ({"rmse": {"max": 1}}, "rmse not measured: a classifier has no such metric; set"),
        ({"drift_share": {"max": 1}}, "drift_share not measured: nothing in this run measures it; set"),
        ({"equalized_odds_difference": {"max": 1}}, "has no sensitive column; set"),
    ],
)
def test_a_metric_that_is_not_there_is_no_pass(gate: Gate, gates: dict[str, Any], line: str) -> None:
    code, verdict, said = gate.judge({"gates": gates})
    assert code == 1
    assert line in said
    assert not verdict["passed"]


def test_the_baseline_is_judged_on_the_same_rows(gate: Gate, tmp_path: Path) -> None:
    truth = pl.read_parquet(gate.holdout)["joined"].to_list()
    perfect = tmp_path / "baseline.npz"
    np.savez(perfect, predictions=np.array(truth))
    changes = {"baseline-predictions": perfect}
    code, verdict, line = gate.judge({"gates": {"accuracy": {"max_regression": 0.01}}}, **changes)
    assert code == 1
    assert "worse than the baseline's 1, max_regression is 0.01" in line
    assert verdict["baseline"]["accuracy"] == 1
    assert "roc_auc" not in verdict["baseline"]
    np.savez(perfect, predictions=np.array(truth[1:]))
    code, verdict, line = gate.judge({}, **changes)
    assert (code, verdict) == (1, {})
    assert "the baseline answered 399 of 400 holdout rows" in line


def test_rows_of_one_group_are_drawn_together(gate: Gate, tmp_path: Path) -> None:
    frame = pl.read_parquet(gate.holdout).with_columns(customer=pl.int_range(ROWS) // 10)
    frame.write_parquet(tmp_path / "holdout.parquet")
    changes = {"holdout": tmp_path / "holdout.parquet"}
    _, grouped, _ = gate.judge({"group": "customer"}, **changes)
    _, alone, _ = gate.judge({}, **changes)
    _, in_time, _ = gate.judge({"time": "customer"}, **changes)
    assert (grouped["row_groups"], alone["row_groups"]) == (ROWS / 10, None)
    blocks = [verdict["time_blocks"] for verdict in (grouped, alone, in_time)]
    assert (blocks, in_time["row_groups"]) == ([None, None, 30], None)
    assert grouped["metrics"]["accuracy"] == alone["metrics"]["accuracy"]
    assert grouped["intervals"]["roc_auc"] != alone["intervals"]["roc_auc"]
    code, _, line = gate.judge({"group": "client"}, **changes)
    assert (code, "the group column 'client' is not in the holdout" in line) == (1, True)


def test_recorded_requests_are_judged_beside_the_holdout(gate: Gate, tmp_path: Path) -> None:
    with np.load(gate.folder / "predictions.npz") as archive:
        answered, shares = archive["predictions"], archive["probabilities"]
    other = np.where(np.arange(ROWS) % 20 == 0, np.where(answered == "yes", "no", "yes"), answered)
    np.savez(tmp_path / "candidate.npz", predictions=answered, probabilities=shares)
    np.savez(tmp_path / "baseline.npz", predictions=other)
    gates = {"shadow_agreement": {"min": 0.97, "confidence": 0.95}}
    baseline = {"baseline-predictions": gate.folder / "predictions.npz"}
    recorded = {"recorded-predictions": tmp_path / "candidate.npz"}
    recorded |= {"baseline-recorded-predictions": tmp_path / "baseline.npz"}
    code, verdict, line = gate.judge({"gates": gates}, **baseline, **recorded)
    assert code == 1
    assert "0.95 [0.924, 0.9674] on 400 recorded requests is below min 0.97 (400 holdout rows)" in line, line
    assert (verdict["requests"], verdict["metrics"]["shadow_agreement"]) == (ROWS, 0.95)
    assert verdict["not_measured"]["shadow_difference"] == "the model returns no probabilities"
    code, verdict, _ = gate.judge({"gates": gates})
    assert (code, verdict["requests"], verdict["gates"][0]["status"]) == (0, None, "passed"), "no baseline"
    code, _, line = gate.judge({"gates": gates}, **baseline)
    assert (code, "shadow_agreement not measured: [tool.ml-pipeline.data] has no requests" in line) == (
        1,
        True,
    )
    np.savez(tmp_path / "baseline.npz", predictions=other[1:])
    code, _, line = gate.judge({"gates": gates}, **baseline, **recorded)
    assert (code, "the baseline answered 399 of 400 recorded requests" in line) == (1, True)


def test_a_candidate_that_got_slow_to_start_and_a_baseline_as_quick(gate: Gate, tmp_path: Path) -> None:
    started = tmp_path / "start-metrics.json"
    started.write_text('{"cold_start_ms": 700.0}')
    gates = {"cold_start_ms": {"max": 500}, "latency_p50_ms": {"max_regression": 1000}}
    found = {"start-metrics": started, "baseline-url": gate.url}
    code, verdict, line = gate.judge({"gates": gates}, **found)
    assert (code, line.partition(" (")[0]) == (1, "validate-gate: cold_start_ms 700 is above max 500")
    assert [entry["status"] for entry in verdict["gates"]] == ["failed", "passed"]
    slow = verdict["gates"][1]
    assert slow["difference"]["value"] == pytest.approx(slow["value"] - slow["baseline"])


def test_a_candidate_that_lost_on_one_slice_only_is_stopped_and_the_slice_named(
    gate: Gate, tmp_path: Path
) -> None:
    # Smiths in the south mostly answer otherwise than the candidate says; the baseline knows them.
    frame = pl.read_parquet(gate.holdout)
    smiths = ((frame["job"] == "smith") & (frame["region"] == "south")).fill_null(value=False).to_numpy()
    with np.load(gate.folder / "predictions.npz") as archive:
        answered = archive["predictions"]
    turned = smiths & (np.random.default_rng(3).random(ROWS) < 0.6)
    truth = np.where(turned, np.where(answered == "yes", "no", "yes"), frame["joined"].to_numpy().astype(str))
    holdout, baseline = tmp_path / "holdout.parquet", tmp_path / "baseline.npz"
    frame.with_columns(pl.Series("joined", truth)).write_parquet(holdout)
    np.savez(baseline, predictions=np.where(smiths, truth, answered))
    gates = {
        "accuracy": {"min": 0.7, "max_regression": 0.2, "confidence": 0.95},
        "worst_slice_accuracy": {"max_regression": 0.02},
        "prediction_drift": {"max": 0.2},
    }
    changes = {"holdout": holdout, "baseline-predictions": baseline}
    code, verdict, line = gate.judge({"gates": gates}, **changes)
    assert (code, [entry["status"] for entry in verdict["gates"]]) == (1, ["passed", "failed", "passed"])
    assert re.match(
        r"validate-gate: worst_slice_accuracy 0\.\d+ worse than the baseline on "
        rf"job = smith, region = south \({smiths.sum()} rows\), max_regression is 0.02 \(400 holdout rows\)",
        line,
    )
    assert verdict["slices"]["worst"][0]["slice"] == "job = smith, region = south"
    assert verdict["metrics"]["baseline_agreement"] > 0.85
    assert verdict["metrics"]["prediction_drift"] == 0  # 400 rows show none


def test_missing_evidence_blocks_unless_it_is_allowed(gate: Gate) -> None:
    bounds = {"min": 0.89, "confidence": 0.95}
    code, verdict, line = gate.judge({"gates": {"accuracy": bounds}})
    assert (code, verdict["passed"]) == (1, False)
    assert line.startswith("validate-gate: accuracy: not enough evidence: 0.")
    assert verdict["gates"][0]["status"] == "not-enough-evidence"
    code, verdict, _ = gate.judge({"gates": {"accuracy": {**bounds, "insufficient": "allow"}}})
    assert (code, verdict["passed"]) == (0, True)


def test_digests_that_are_handed_over_are_in_the_verdict(gate: Gate) -> None:
    handed = {f"{what}-digest": f"sha256:{number:064x}" for number, what in enumerate(DIGESTS)}
    _, verdict, _ = gate.judge({}, **handed)
    assert verdict["digests"] == {what: f"sha256:{number:064x}" for number, what in enumerate(DIGESTS)}


DIGESTS = ("candidate", "baseline", "data", "config")


def test_metrics_of_the_training_are_gated_but_never_instead_of_the_images(
    gate: Gate, tmp_path: Path
) -> None:
    reported = tmp_path / "metrics.json"
    reported.write_text(json.dumps({"profit": 5.0, "accuracy": 1.0}))
    gates = {"profit": {"min": 4}, "accuracy": {"min": 0.99}}
    code, verdict, line = gate.judge({"gates": gates}, metrics=reported)
    assert code == 1
    assert line.startswith("validate-gate: accuracy 0.")
    assert verdict["gates"][0]["status"] == "passed"
    assert verdict["reported"]["accuracy"] == 1
    reported.write_text('{"profit": "much"}')
    code, _, line = gate.judge({"gates": gates}, metrics=reported)
    assert (code, "metrics.json has 'profit' = \"much\", which is not a number" in line) == (1, True)
    reported.write_text('{"profit": NaN}')
    code, verdict, line = gate.judge({"gates": {"profit": {"min": 4}}}, metrics=reported)
    assert (code, "profit nan is not a finite number" in line) == (1, True)
    assert verdict["metrics"]["profit"] is None


def test_drift_is_gated_by_what_the_data_stage_found(gate: Gate, tmp_path: Path) -> None:
    found = tmp_path / "data-metrics.json"
    found.write_text(json.dumps({"drift_share": 0.5, "drift.age": 0.31, "drift.job": None}))
    gates = {"drift_share": {"max": 0.5}, "drift.age": {"max": 0.3}, "drift.job": {"max": 0.1}}
    code, verdict, line = gate.judge({"gates": gates}, **{"data-metrics": found})
    assert code == 1
    assert line.startswith("validate-gate: drift.age 0.31 is above max 0.3 ")
    assert [entry["status"] for entry in verdict["gates"]] == ["passed", "failed", "passed"]


def test_without_an_image_the_trainings_own_metrics_are_judged(gate: Gate, tmp_path: Path) -> None:
    reported = tmp_path / "metrics.json"
    reported.write_text('{"accuracy": 0.9}')
    none = {"metrics": reported, "predictions": None, "requests": None, "candidate-url": None}
    code, verdict, _ = gate.judge({"gates": {"accuracy": {"min": 0.8}}}, **none)
    assert (code, verdict["metrics"], verdict["skew"]) == (0, {"accuracy": 0.9}, None)
    code, _, line = gate.judge({"gates": {"memory_mb": {"max": 9}}}, **none)
    assert (code, "memory_mb not measured: there is no image to ask" in line) == (1, True)
    assert gate.judge({}, predictions=None)[0] == 2
