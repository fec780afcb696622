"""The Markdown summary, for runs that ended early and late."""

from typing import Any

import pytest

from ml_pipeline.common.document import from_json
from ml_pipeline.common.verdict import Gate
from ml_pipeline.common.wording import device
from ml_pipeline.report import summary
from ml_pipeline.report.summary import Headline, duration, measure, threshold

GATE: dict[str, Any] = {
    "metric": "accuracy",
    "value": 0.8612,
    "baseline": 0.87,
    "min": 0.84,
    "max": None,
    "max_regression": 0.005,
    "required": True,
    "status": "passed",
    "reason": "",
    "blocks": False,
}
VERDICT: dict[str, Any] = {
    "format": 1,
    "passed": True,
    "rows": 9769,
    "metrics": {"accuracy": 0.8612, "latency_p95_ms": 3.456, "memory_mb": 141.7, "my_gain": 3.0},
    "baseline": {"accuracy": 0.87},
    "reported": {"my_gain": 3.0},
    "gates": [GATE],
}
PIPELINE: dict[str, Any] = {
    "name": "adult-income",
    "revision": "0123abc",
    "status": "passed",
    "gpu": "off",
    "stages": [
        {"stage": "test", "status": "passed", "seconds": 75.2, "cached": False, "message": "", "hint": ""},
        {"stage": "train", "status": "passed", "seconds": 12.0, "cached": True, "message": "", "hint": ""},
    ],
    "image": {"reference": "registry/models/adult@sha256:12", "digest": "sha256:12", "size_mb": 142.4},
    "release": None,
    "notes": ["No --kubeconfig: nothing was deployed."],
}


def markdown(document: dict[str, Any]) -> str:
    return summary.markdown(from_json(document))


def headline(document: dict[str, Any]) -> Headline:
    return summary.headline(from_json(document))


def test_a_whole_run() -> None:
    text = markdown({**PIPELINE, "verdict": VERDICT, "model": {"name": "adult-income", "version": "ab"}})
    assert text.startswith("## ✅ adult-income: may ship\n\n1 of 1 gates passed on 9,769 holdout rows\n")
    assert "| ✅ | `accuracy` | 0.8612 | 0.87 | ≥ 0.84, regression ≤ 0.005 |  |" in text
    assert "| `latency_p95_ms` | 3.46 ms | - |" in text
    assert "| `my_gain` | 3 | - |" in text
    assert "| digest |" not in text
    assert "| ✅ | test | 1 min 15 s |  |" in text
    assert "| ✅ | train | cached |  |" in text
    assert "| took |" not in text
    timed = markdown({**PIPELINE, "seconds": 80.0})
    assert "| took | `1 min 20 s, the cache saved 12 s` |" in timed
    priced = markdown({**PIPELINE, "stages": [], "seconds": 90.0, "price_per_hour": 4.0})
    assert "| took | `1 min 30 s; about 0.1 at 4 an hour` |" in priced
    assert "| image | `registry/models/adult@sha256:12 (142 MB)` |" in text
    assert "- No --kubeconfig: nothing was deployed." in text
    assert text.index("### Gates") < text.index("### Metrics") < text.index("### Stages")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_a_release_is_in_the_headline() -> None:
    release = {"action": "updated", "namespace": "models", "name": "adult", "revision": 3}
    release |= {"ready": 2, "replicas": 2, "seconds": 4.4, "previous_image": "r/adult@sha256:1"}
    run = {**PIPELINE, "release": release, "verdict": VERDICT}
    assert headline(run).title == "adult-income: released"
    pods = "2 of 2 replicas ready after 4.4 s, previous image r/adult@sha256:1"
    assert f"| release | `updated: models/adult revision 3, {pods}` |" in markdown(run)


def test_where_a_run_is_tracked() -> None:
    tracking = {"run": "12", "url": "http://x/#/experiments/1/runs/12"}
    assert f"| tracked | `{tracking['url']}` |" in markdown({**PIPELINE, "tracking": tracking})
    registered = {**tracking, "version": "3"}
    assert "runs/12 (version 3)` |" in markdown({**PIPELINE, "tracking": registered})
    released = {**registered, "champion": "3"}
    assert "runs/12 (version 3, champion)` |" in markdown({**PIPELINE, "tracking": released})


def test_a_failed_stage_comes_first_with_what_to_do() -> None:
    stage = {
        "stage": "validate-data",
        "status": "failed",
        "seconds": 1.0,
        "cached": False,
        "message": "column age has 3 values above 90",
        "hint": "fix the data",
    }
    text = markdown({**PIPELINE, "status": "failed", "stages": [stage]})
    assert text.startswith(
        "## ❌ adult-income: do not ship\n\nvalidate-data: column age has 3 values above 90\n\n> fix"
    )


def test_a_failed_gate_alone_is_told_from_the_verdict() -> None:
    gate = {**GATE, "status": "failed", "blocks": True, "reason": "0.86 is below min 0.99"}
    first = headline({"verdict": {**VERDICT, "passed": False, "gates": [gate]}})
    assert not first.good
    assert first.why == "accuracy 0.86 is below min 0.99"


def test_a_failed_gate_that_is_not_required_warns() -> None:
    gate = {**GATE, "status": "failed", "required": False, "reason": "0.86 is below min 0.99"}
    text = markdown({"verdict": {**VERDICT, "gates": [gate]}})
    assert "| ⚠️ | `accuracy` |" in text
    assert "| 0.86 is below min 0.99, not required |" in text


def test_intervals_stand_beside_values_and_differences_beside_baselines() -> None:
    gate = {
        **GATE,
        "interval": [0.8551, 0.8671],
        "difference": {"value": -0.0088, "interval": [-0.0121, -0.0054], "where": ""},
    }
    verdict = {**VERDICT, "gates": [gate], "intervals": {"accuracy": [0.8551, 0.8671]}}
    text = markdown({"verdict": verdict})
    assert "| `accuracy` | 0.8612 [0.8551, 0.8671] | 0.87 (-0.0088 [-0.0121, -0.0054]) | ≥ 0.84" in text
    assert "| `accuracy` | 0.8612 [0.8551, 0.8671] | 0.87 |\n" in text


def test_simple_models_stand_beside_and_a_model_that_knows_nothing_is_warned_about() -> None:
    references = {"constant": {"accuracy": 0.86, "roc_auc": 0.5}, "linear": {"accuracy": 0.85}}
    text = "0.8612 is not shown to be better than 0.86, which one answer for all rows gives"
    verdict = VERDICT | {"references": references, "no_better": {"accuracy": text}}
    lines = markdown({"verdict": verdict}).splitlines()
    assert lines[4] == f"⚠️ accuracy {text}"
    assert "| metric | value | baseline | constant | linear |" in lines
    assert "| `accuracy` | 0.8612 | 0.87 | 0.86 | 0.85 |" in lines
    assert "| `latency_p95_ms` | 3.46 ms | - | - | - |" in lines


def test_missing_evidence_is_told_apart_from_failure() -> None:
    reason = "0.8612 [0.8551, 0.8671] is on both sides of min 0.86"
    gate = {**GATE, "status": "not-enough-evidence", "reason": reason, "blocks": False}
    text = markdown({"verdict": {**VERDICT, "gates": [gate]}})
    assert "0 of 1 gates passed, 1 undecided, on 9,769 holdout rows" in text
    assert "| 🟡 | `accuracy` |" in text
    assert "| not enough evidence, 0.8612 [0.8551, 0.8671] is on both sides of min 0.86 |" in text
    blocked = {"verdict": {**VERDICT, "passed": False, "gates": [{**gate, "blocks": True}]}}
    assert headline(blocked).why == f"accuracy: not enough evidence: {reason}"


def test_skew_is_no_pass() -> None:
    first = headline({"verdict": {**VERDICT, "passed": False, "skew": {"rows": 200, "differing": 3}}})
    assert first.why == "the image's batch command and its /predict disagree on 3 of 200 rows"


def test_nothing_ran() -> None:
    assert markdown({}) == "## ❌ pipeline: do not ship\n\nnothing ran\n"


def test_without_a_gate_a_run_is_passed_not_judged() -> None:
    first = headline(PIPELINE)
    assert (first.title, first.why) == ("adult-income: passed", "no gate was asked for")


def test_a_run_that_was_stopped_is_not_good() -> None:
    assert not headline({**PIPELINE, "status": "cancelled"}).good


def test_text_from_the_project_stays_text() -> None:
    stage = {**PIPELINE["stages"][0], "message": "<script>|*x*`y`\n[a](b) in [tool.ml-pipeline] >50K"}
    text = markdown({**PIPELINE, "stages": [stage]})
    assert r"\<script>\|\*x\*\`y\` [a]\(b) in [tool.ml-pipeline] >50K" in text


def test_data_and_tests() -> None:
    data = {
        "rows": 48842,
        "columns": [{"name": "age"}],
        "sha256": "ab12",
        "violations": [{"column": "age", "rule": "max", "message": "column 'age' has 3 values above 90"}],
    }
    text = markdown({"data": data, "tests": {"passed": 12, "failed": 1, "skipped": 1, "coverage": 93.2}})
    assert "| tests | `none` |" in markdown({"tests": {"passed": 0}})
    assert "| rows | 48,842 |" in text
    assert "| ❌ | column 'age' has 3 values above 90 |" in text
    assert "| data | `sha256:ab12` |" in text
    assert "| tests | `12 passed, 1 failed, 1 skipped, 93.2 % of lines covered` |" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.7, "1 min 0 s"), (7440, "2 h 4 min")],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_units() -> None:
    assert measure("throughput_rows_per_s", 1234567.8) == "1,234,568/s"
    assert measure("memory_mb", None) == "-"
    assert threshold(Gate(metric="memory_mb", min=None, max=512)) == "≤ 512 MB"


def test_a_device_and_its_gpus() -> None:
    assert device("cpu", []) == "cpu"
    assert device("cuda", ["NVIDIA H200"]) == "cuda (NVIDIA H200)"
    assert device("cuda", ["a", "b", "a"]) == "cuda (2x a, b)"
