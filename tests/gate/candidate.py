"""A model under the gate: its rows, its answers, its server."""

import contextlib
import io
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import polars as pl
import pytest

from ml_pipeline.common.metrics.table import names
from ml_pipeline.gate import evaluate, probe
from tests.programs import Start, run

ROWS = 400
PROBED = {name for name in names("performance") if not name.startswith(("image_", "cold_start"))}
SCHEMA = json.loads((Path(evaluate.__file__).parent / "verdict.schema.json").read_text())
VALID = jsonschema.Draft202012Validator(SCHEMA)


@pytest.fixture(scope="module")
def holdout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write rows whose target is the conftest model's own answer, but wrong in every tenth row."""
    random = np.random.default_rng(0)
    age = random.integers(18, 80, ROWS)
    job = random.choice(["clerk", "smith", "nurse"], ROWS)
    member = random.choice([True, False], ROWS)
    score = (age - 40) / 10 + np.select([job == "clerk", job == "smith"], [1, -1], 0) + member / 2 + 1
    right = score > 0
    right[::10] = ~right[::10]
    frame = pl.DataFrame(
        {
            "age": age,
            "job": [None if i % 50 == 7 else str(name) for i, name in enumerate(job)],
            "member": [None if i % 50 == 9 else bool(value) for i, value in enumerate(member)],
            "seen": [datetime(2024, 1, 1) + timedelta(hours=i) for i in range(ROWS)],
            "region": random.choice(["north", "south"], ROWS),
            "joined": np.where(right, "yes", "no"),
        }
    )
    path = tmp_path_factory.mktemp("holdout") / "holdout.parquet"
    frame.write_parquet(path)
    return path


@dataclass
class Gate:
    """One model under the gate: its folder, its prepared rows, its answers, its address."""

    model: Path
    holdout: Path
    folder: Path
    url: str

    def judge(self, settings: dict[str, Any], **changes: Any) -> tuple[Any, dict[str, Any], str]:
        """Return the exit code, the verdict ({} if none was written) and the last line of stderr."""
        output = self.folder / "verdict"
        (output / "verdict.json").unlink(missing_ok=True)
        config = self.folder / "settings.json"
        known = {
            "task": "classification",
            "target": "joined",
            "positive": "yes",
            "sensitive": [],
            "slices": [],
        }
        config.write_text(json.dumps(known | settings))
        options: dict[str, Any] = {
            "config": config,
            "holdout": self.holdout,
            "model-json": self.model / "model.json",
            "predictions": self.folder / "predictions.npz",
            "requests": self.folder / "requests.json",
            "candidate-url": self.url,
            "output": output,
        } | changes
        arguments = [text for name, value in options.items() if value for text in (f"--{name}", value)]
        said = io.StringIO()
        with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as ended:
            evaluate.main(["judge", *map(str, arguments)])
        path = output / "verdict.json"
        verdict = json.loads(path.read_text()) if path.exists() else {}
        if verdict:
            VALID.validate(verdict)
        return ended.value.code, verdict, (said.getvalue().splitlines() or [""])[-1]


@pytest.fixture
def short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WARM_UP": 1, "REQUESTS": 1, "THROUGHPUT_SECONDS": 0.01}.items():
        monkeypatch.setattr(probe, name, value)


@pytest.fixture(scope="module")
def gate(onnx_folder: Path, holdout: Path, start: Start, tmp_path_factory: pytest.TempPathFactory) -> Gate:
    folder = tmp_path_factory.mktemp("gate")
    prepared = run(
        "gate.evaluate",
        "prepare",
        *("--holdout", holdout, "--model-json", onnx_folder / "model.json", "--output", folder),
    )
    assert prepared.returncode == 0, prepared.stderr
    answers = ("--input", folder / "holdout.npz", "--output", folder / "predictions.npz")
    predicted = run("serving.predict", *answers, ML_MODEL=str(onnx_folder))
    assert predicted.returncode == 0, predicted.stderr
    return Gate(onnx_folder, holdout, folder, f"http://127.0.0.1:{start(onnx_folder).port}")
