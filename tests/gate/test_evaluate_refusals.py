"""What the gate refuses: settings, files and images that it can't judge."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.gate import probe
from tests.gate.candidate import PROBED, ROWS, Gate
from tests.odd_images import Answer

pytestmark = [pytest.mark.program, pytest.mark.usefixtures("short_measurements")]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"target": "nothing"}, "the holdout lacks the target 'nothing'"),
        ({"slices": ["nothing"]}, "the slice column 'nothing' is not in the holdout (age, job,"),
        ({"target": "region"}, "of 'region', which the model does not know"),
    ],
)
def test_settings_that_do_not_fit(gate: Gate, settings: dict[str, Any], line: str) -> None:
    code, _, said = gate.judge(settings)
    assert (code, line in said) == (1, True)


def test_a_slice_without_values_is_a_group_of_its_own(gate: Gate, tmp_path: Path) -> None:
    frame = pl.read_parquet(gate.holdout).with_columns(region=pl.lit(None, pl.String), none=pl.lit(None))
    frame.write_parquet(tmp_path / "holdout.parquet")
    changes = {"holdout": tmp_path / "holdout.parquet"}
    code, verdict, line = gate.judge({"slices": ["region", "none"], "sensitive": ["region"]}, **changes)
    assert (code, line) == (0, "")
    assert {(group["column"], group["group"], group["rows"]) for group in verdict["groups"]} == {
        ("region", "(missing)", ROWS),
        ("none", "(missing)", ROWS),
    }
    reason = verdict["not_measured"]["equalized_odds_difference"]
    assert reason == "too few rows: no sensitive column has two groups of 30 rows"


def test_files_that_can_not_be_read(gate: Gate, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("not what it should be")
    for option in ("holdout", "predictions", "requests", "model-json"):
        code, _, line = gate.judge({}, **{option: broken})
        assert (code, line.startswith("validate-gate: "), "broken " in line) == (1, True, True), line


def test_a_batch_command_that_answers_otherwise_than_the_server_fails(gate: Gate, tmp_path: Path) -> None:
    with np.load(gate.folder / "predictions.npz") as archive:
        answers = dict(archive)
    answers["probabilities"] = np.roll(answers["probabilities"], 1, axis=0)
    np.savez(tmp_path / "other.npz", **answers)
    code, verdict, line = gate.judge({}, predictions=tmp_path / "other.npz")
    assert code == 1
    assert "the image's batch command and its /predict disagree on" in line
    assert not verdict["passed"]
    assert verdict["skew"]["differing"] > 100


def test_requests_that_the_image_refuses(gate: Gate, tmp_path: Path) -> None:
    requests = tmp_path / "requests.json"
    requests.write_text(json.dumps({"rows": [0], "instances": [{"age": "old"}]}))
    code, _, line = gate.judge({}, requests=requests)
    assert code == 1
    assert "the image answered 422 to 1 holdout rows" in line
    assert "expected an integer" in line


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[]", "the image's answer to /predict has no predictions"),
        ("{", "the image's answer to /predict has no predictions"),
        ('{"predictions": 3}', "the image's answer to /predict has no predictions"),
        ('{"predictions": [1, 2]}', "the image answered 2 predictions to 1 rows"),
    ],
)
def test_images_that_answer_nonsense(odd_image: Callable[[Answer], str], body: str, message: str) -> None:
    with pytest.raises(StageFailure, match=message):
        probe.measure(odd_image(lambda *_: (200, body)), [{"a": 1}])


def test_an_image_without_metrics_has_no_memory(odd_image: Callable[[Answer], str]) -> None:
    answers = {"/ready": (200, ""), "/predict": (200, '{"predictions": [1]}')}
    url = odd_image(lambda path, _: answers.get(path, (404, "")))
    found, _ = probe.measure(url, [{"a": 1}])
    assert "memory_mb" not in found.values
    assert found.missing["memory_mb"].startswith("the image's /metrics names none of process_peak")
    assert (found.predictions, found.probabilities) == ([1], None)


def test_a_baseline_is_asked_in_turn(odd_image: Callable[[Answer], str]) -> None:
    asked = []

    def named(name: str, status: int) -> Answer:
        def answer(path: str, body: bytes) -> tuple[int, str]:
            if path == "/predict":
                asked.append(name)
                rows = len(json.loads(body)["instances"])
                return status, json.dumps({"predictions": [1] * rows})
            return (200, "process_resident_memory_bytes 5e6") if path == "/metrics" else (200, "")

        return answer

    candidate, rows = odd_image(named("candidate", 200)), [{"a": 1}, {"a": 2}]
    _, before = probe.measure(candidate, rows, odd_image(named("baseline", 200)))
    assert set(before) == PROBED
    assert before["memory_mb"] == 5
    assert re.fullmatch("c+b+(cb)+", "".join(name[0] for name in asked))
    found, nothing = probe.measure(candidate, rows, odd_image(named("baseline", 422)))
    assert set(found.values) == PROBED
    assert nothing == {}


def test_an_image_that_never_gets_ready(
    odd_image: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "READY_TIMEOUT", 0.3)
    with pytest.raises(StageFailure, match=r"not ready within 0.3 s \(status 503\)"):
        probe.measure(odd_image(lambda *_: (503, "")), [{"a": 1}])
    with pytest.raises(StageFailure, match="not ready within"):
        probe.measure("http://127.0.0.1:1", [{"a": 1}])
