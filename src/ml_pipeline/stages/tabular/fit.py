"""From rows to a model folder: split, train, export, and prove the export equal."""

import csv
import hashlib
import json
import os
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import safetensors.numpy
import torch

from ml_pipeline.stages.names import nearest
from ml_pipeline.stages.outcome import StageFailure
from ml_pipeline.stages.tabular import columns as fitted
from ml_pipeline.stages.tabular import export, loop, options, target
from ml_pipeline.stages.tabular.network import Network

TOLERANCE = 1e-5  # of probabilities, or of the target's standard deviation


def fit(
    frame: Any, name: str, task: str, config: dict[str, Any], output: Path, seed: int, device: str
) -> dict[str, Any]:
    """Train on `frame`, whose target is the column `name`; write the model to `output`.

    Writes model.onnx, weights.safetensors, metrics.json and history.csv. The same
    rows, seed and processor give the same weights. Returns what came of it.
    """
    chosen = options.read(config)
    started = time.monotonic()
    learned = target.read(frame[name], task)
    rows = frame.drop(name)
    columns = fitted.fit(rows, chosen.bins)
    for unused in columns.unused:
        print(f"column {unused!r} is not used: it has one value only, or no value often enough", flush=True)
    held = target.validation_rows(learned.values, chosen.validation, seed)
    _seed(seed, device)
    network = Network(columns, len(learned.classes or [0]), chosen).to(device)
    encoded = fitted.encode(columns, rows)
    training, validation = (_rows(encoded, learned.values, mask, device) for mask in (~held, held))
    batch, epochs = options.sizes(int((~held).sum()), chosen)
    print(f"{(~held).sum()} rows train and {held.sum()} validate, {batch} at a time, on {device}", flush=True)
    metric = "r2" if learned.classes is None else "accuracy"

    def progress(epoch: loop.Epoch) -> None:
        print(
            f"epoch {epoch.epoch} of {epochs}: train loss {epoch.train_loss:.4f}, validation loss"
            f" {epoch.validation_loss:.4f}, {metric} {epoch.validation_score:.4f},"
            f" {epoch.samples_per_second:,.0f} rows/s",
            flush=True,
        )

    history = loop.train(network, training, validation, chosen, progress)
    best = min(history, key=lambda epoch: epoch.validation_loss)
    train_loss, train_score = loop.score(network, training)
    metrics = {
        "validation_loss": best.validation_loss,
        f"validation_{metric}": best.validation_score,
        "train_loss": train_loss,
        f"train_{metric}": train_score,
        "training_rows": training.target.shape[0],
        "validation_rows": validation.target.shape[0],
        "epochs": len(history),
        "best_epoch": best.epoch,
        "samples_per_second": len(history) / sum(1 / epoch.samples_per_second for epoch in history),
    }
    network.cpu()
    weights = {key: value.numpy() for key, value in network.state_dict().items()}
    model = export.build(columns, weights, learned.classes, (learned.mean, learned.deviation))
    (output / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    difference = _difference(network, columns, learned, rows.filter(held), output / "model.onnx", seed)
    metrics |= {"training_seconds": time.monotonic() - started}
    packed = safetensors.numpy.save(weights)
    (output / "weights.safetensors").write_bytes(packed)
    (output / "metrics.json").write_text(json.dumps(metrics, indent=1))
    _write_history(history, output / "history.csv")
    digest = hashlib.sha256(packed).hexdigest()
    print(f"best epoch {best.epoch}, weights sha256:{digest}, ONNX within {difference:.1e} of PyTorch")
    return {
        "metrics": metrics,
        "weights": digest,
        "onnx_difference": difference,
        "unused": list(columns.unused),
    }


def train_file(
    data: Path, settings: dict[str, Any], config: dict[str, Any], output: Path, seed: int, device: str
) -> dict[str, Any]:
    """`fit` on a Parquet file, as the train stage's settings say. Raises StageFailure."""
    try:
        frame = pl.read_parquet(data)
    except (OSError, pl.exceptions.PolarsError) as error:
        cause = f"{data} can't be read as Parquet: {' '.join(str(error).split())[:200]}"
        raise StageFailure(cause, "split the data anew") from None
    name = settings["target"]
    if name not in frame.columns:
        hint = f"check data.target: {nearest(name, frame.columns)}"
        raise StageFailure(f"the training rows have no column {name!r}", hint)
    return fit(frame, name, settings["task"], config, output, seed, device)


def _seed(seed: int, device: str) -> None:
    torch.manual_seed(seed)
    if device == "cuda":  # cuBLAS asks for this before its first call
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # On CUDA, an operation without a deterministic form warns instead of ending the run.
    torch.use_deterministic_algorithms(True, warn_only=device == "cuda")


def _rows(encoded: fitted.Encoded, values: Any, mask: Any, device: str) -> loop.Rows:
    numeric, missing, codes, wanted = (
        torch.from_numpy(part[mask]).to(device)
        for part in (encoded.numeric, encoded.missing, encoded.codes, values)
    )
    return loop.Rows((numeric, missing, codes), wanted)


def _difference(
    network: Network, columns: fitted.Columns, learned: target.Target, rows: Any, model: Path, seed: int
) -> float:
    """The greatest difference between the graph's and PyTorch's answers over `rows`.

    They are asked twice: as they are, and with a third of all values missing.
    """
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(seed)
    gaps = {name: pl.Series(generator.random(rows.height) < 1 / 3) for name in columns.types}
    holes = rows.with_columns(pl.when(~gap).then(pl.col(name)).alias(name) for name, gap in gaps.items())
    worst = 0.0
    for frame in (rows, holes):
        everything = np.ones(frame.height, bool)
        inputs = _rows(fitted.encode(columns, frame), everything, everything, "cpu").inputs
        wanted = loop.predict(network, inputs).numpy()
        feeds = {name: fitted.raw(frame[name]) for name in columns.types}
        prediction, *probabilities = session.run(None, feeds)
        if learned.classes is None:
            answers = ((prediction - learned.mean) / learned.deviation)[:, None]
        else:
            answers = probabilities[0]
        worst = max(worst, float(np.abs(answers - wanted).max()))
    if not worst <= TOLERANCE:
        raise StageFailure(
            f"model.onnx differs from the PyTorch model by {worst:.2e} over {rows.height} rows",
            f"at most {TOLERANCE:.0e} is allowed; this is a defect of the trainer: report it",
        )
    return worst


def _write_history(history: list[loop.Epoch], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(loop.Epoch)])
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in history)
