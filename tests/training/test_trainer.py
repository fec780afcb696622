"""The built-in trainer, run: what it writes, and how it ends where it can't go on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
import safetensors.numpy
import torch

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training.tabular import checkpoints, fit, loop
from ml_pipeline.training.tabular.network import Network
from ml_pipeline.training.tabular.options import Options
from ml_pipeline.training.tabular.prepare import Rows, prepare
from tests.training.tabular_rows import labelled

pytestmark = pytest.mark.program


def train(folder: Path, frame: pl.DataFrame, task: str = "classification", **config: Any) -> dict[str, Any]:
    place = fit.Place(0, "cpu", folder / "checkpoints")
    return fit.fit(frame, "y", task, {"epochs": 2} | config, folder, place)


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (pl.col("y"), "classification"),
        (pl.col("y") == "yes", "classification"),
        (pl.col("age") // 30, "classification"),
        (pl.col("age") // 30 / 2, "classification"),  # 0.5, 1.0, 1.5
        (pl.col("age") * 1e6 + pl.col("gain"), "regression"),
    ],
)
def test_what_it_writes_for_each_kind_of_target(tmp_path: Path, target: pl.Expr, task: str) -> None:
    frame = labelled().with_columns(y=target)
    details = train(tmp_path, frame, task)
    assert details["onnx_difference"] <= 1e-5
    assert details["unused"] == ["name", "same", "empty"]
    wrote = {path.name for path in tmp_path.iterdir()} - {"checkpoints"}
    assert wrote == {"model.onnx", "weights.safetensors", "metrics.json", "history.csv"}
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == details["metrics"]
    assert metrics["training_rows"] + metrics["validation_rows"] == frame.height
    weights = safetensors.numpy.load_file(tmp_path / "weights.safetensors")
    assert all(np.isfinite(value).all() for value in weights.values())
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [node.name for node in session.get_inputs()] == frame.drop("y").columns


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two", "seed"):
        (tmp_path / name).mkdir()
        place = fit.Place(int(name == "seed"), "cpu", tmp_path)
        details = fit.fit(labelled(), "y", "classification", {"epochs": 2}, tmp_path / name, place)
        digests.append(details["weights"])
    assert digests[0] == digests[1] != digests[2]


def test_few_rows_are_trained_on_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = train(tmp_path, labelled())
    best = whole["metrics"]["best_epoch"]
    assert f"training again on all 300 rows, for {best} epochs\n" in capsys.readouterr().out
    parted = train(tmp_path, labelled(), refit_rows=299)
    assert "training again" not in capsys.readouterr().out
    assert parted["weights"] != whole["weights"]
    assert parted["metrics"]["validation_loss"] == whole["metrics"]["validation_loss"]


def test_balanced_classes_find_more_of_a_rare_one(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    signal = generator.normal(size=4000)
    rare = signal + generator.normal(size=4000) > 2.5
    frame = pl.DataFrame({"x": signal, "y": rare})
    recall = {}
    for kind in ("none", "balanced"):
        train(tmp_path, frame, class_weight=kind, epochs=6)
        (answer, _) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, {"x": signal})
        recall[kind] = answer[rare].mean()
    assert recall["none"] < 0.3
    assert recall["balanced"] > 0.7


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoints, "INTERVAL", 0)
    usual = loop.learning_rate
    with monkeypatch.context() as patched:
        patched.setattr(loop, "learning_rate", lambda *at: 1e38 if at[0] > 20 else usual(*at))
        with pytest.raises(StageFailure, match="the loss is not finite in epoch 3") as failed:
            train(tmp_path, labelled(), epochs=6)
    assert failed.value.hint == "lower train.config.learning_rate, or check the data"
    assert not (tmp_path / "model.onnx").exists()
    train(tmp_path, labelled(), epochs=6)
    assert "continuing after epoch 2 from the checkpoint" in capsys.readouterr().out


def test_an_epoch_goes_over_all_rows_in_equal_batches() -> None:
    frame = pl.DataFrame({"x": np.arange(120) / 10, "y": np.arange(120) / 10})
    prepared = prepare(frame, "y", "regression", Options(batch_size=17), 0, "cpu")
    run = loop.Loop(Network(prepared.columns, 1, Options()), prepared.training, Options(batch_size=17))
    batches = []

    def step(batch: Rows, _: torch.Tensor) -> torch.Tensor:
        batches.append(batch.target)
        return torch.tensor(float(len(batches)))

    run.step = step
    mean, _ = run.train_epoch()
    assert [len(batch) for batch in batches] == [17] * 6, "102 rows train"
    seen, expected = torch.cat(batches), prepared.training.target
    assert torch.equal(seen.sort().values, expected.sort().values)
    assert mean == 3.5
    batches.clear()
    run.train_epoch()
    assert not torch.equal(torch.cat(batches), seen), "another order"
    run = loop.Loop(Network(prepared.columns, 1, Options()), prepared.training, Options(batch_size=101))
    batches.clear()
    run.step = step
    run.train_epoch()
    assert [len(batch) for batch in batches] == [51] * 2


class Small:
    """A device that has memory for so many rows of a training batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
        self._rows, self._loss = rows, loop._loss
        monkeypatch.setattr(loop, "_loss", self)

    def __call__(self, outputs: torch.Tensor, *others: Any) -> Any:
        if outputs.shape[1] > self._rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self._loss(outputs, *others)


def test_a_batch_that_is_too_large_for_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Small(monkeypatch, 64)
    train(tmp_path, labelled(), batch_size=128)
    assert "out of memory on cpu: training again with batches of 32 rows\n" in capsys.readouterr().out
    Small(monkeypatch, 16)
    with pytest.raises(torch.OutOfMemoryError):  # which the stage turns into its line
        train(tmp_path, labelled(), batch_size=100_000)
    assert "out of memory on cpu: training again with batches of 63 rows\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_errors_that_mean_too_little_memory(error: Exception, expected: bool) -> None:
    assert fit.out_of_memory(error) is expected


def test_the_rate_is_one_cycle() -> None:
    rates = [loop.learning_rate(step, 200, 0.01) for step in range(200)]
    assert rates[0] == pytest.approx(0.01 / 25)
    assert int(np.argmax(rates)) == 19
    assert max(rates) == pytest.approx(0.01)
    assert rates[-1] < 1e-7
    assert all(loop.learning_rate(step, 3, 1.0) <= 1 for step in range(3))
    assert loop.learning_rate(0, 1, 1.0) > 0
