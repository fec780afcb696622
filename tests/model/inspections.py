"""A model folder and its inspection, as the tests of several modules use them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model import inspect_model
from tests.graphs import members

EMPTY_RECORD = '{"format": 1, "rows": 0, "columns": {}}'
Inspect = Callable[..., dict[str, Any]]


def settings(**changes: Any) -> Any:
    return {"task": "classification", "target": "club", "positive": "yes", "seed": 0, "config": {}} | changes


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


@pytest.fixture
def inspect(tmp_path: Path, model: Path) -> Inspect:
    """Inspect `model`; return its signature. Check that nothing is written for a model that is refused."""

    def once(rows: pl.DataFrame | None = None, **changes: Any) -> dict[str, Any]:
        data, output = tmp_path / "train.parquet", tmp_path / "out"
        (members() if rows is None else rows).write_parquet(data)
        record = tmp_path / "record.json"
        record.write_text(EMPTY_RECORD)
        for name in ("model.json", "record.json"):
            (output / name).unlink(missing_ok=True)
        try:
            inspect_model.inspect(model, data, record, settings(**changes), "club", output)
        except StageFailure:
            assert not output.exists() or not list(output.iterdir())
            raise
        copied = json.loads((output / "record.json").read_text())
        assert ("predictions" in copied) == (model / "model.onnx").exists()
        signature: dict[str, Any] = json.loads((output / "model.json").read_text(encoding="utf-8"))
        return signature

    return once
