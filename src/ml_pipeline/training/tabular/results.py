"""What a training leaves: the files of the model folder, after a proof that the exported graph is equal."""

import csv
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import polars as pl
import safetensors.numpy
import torch

from ml_pipeline.common.onnx_runtime import onnxruntime
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training.details import BuiltInDetails
from ml_pipeline.training.tabular import columns as fitted
from ml_pipeline.training.tabular import export
from ml_pipeline.training.tabular.loop import Epoch, best_epoch
from ml_pipeline.training.tabular.network import Network
from ml_pipeline.training.tabular.prepare import Prepared
from ml_pipeline.training.tabular.scoring import predict, score

TOLERANCE = 1e-5  # of probabilities, or of the target's standard deviation


def write(
    prepared: Prepared,
    network: Network,
    history: Sequence[Epoch],
    rows: pl.DataFrame,
    output: Path,
    seed: int,
    started: float,
) -> BuiltInDetails:
    """Export and write the model; return its details. The graph is compared with PyTorch over `rows`.

    `started` is the training's start on the monotonic clock. Raises StageFailure.
    """
    metrics = _metrics(prepared, network, history)
    network.cpu()
    weights = {key: value.numpy() for key, value in network.state_dict().items()}
    learned = prepared.learned
    model = export.build(prepared.columns, weights, learned.classes, (learned.mean, learned.deviation))
    (output / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    difference = _difference(network, prepared, rows, output / "model.onnx", seed)
    metrics |= {"training_seconds": time.monotonic() - started}
    packed = safetensors.numpy.save(weights)
    (output / "weights.safetensors").write_bytes(packed)
    (output / "metrics.json").write_text(json.dumps(metrics, indent=1))
    _write_history(history, output / "history.csv")
    digest = hashlib.sha256(packed).hexdigest()
    best = metrics["best_epoch"]
    print(f"best epoch {best}, weights sha256:{digest}, ONNX within {difference:.1e} of PyTorch")
    return {
        "metrics": metrics,
        "weights": digest,
        "onnx_difference": difference,
        "unused": list(prepared.columns.unused),
    }


def metric(prepared: Prepared) -> str:
    """Return what an epoch's score is."""
    return "r2" if prepared.learned.classes is None else "accuracy"


def _metrics(prepared: Prepared, network: Network, history: Sequence[Epoch]) -> dict[str, float]:
    best = best_epoch(history)
    train_loss, train_score = score(network, prepared.training, prepared.class_weights)
    return {
        "validation_loss": best.validation_loss,
        f"validation_{metric(prepared)}": best.validation_score,
        "train_loss": train_loss,
        f"train_{metric(prepared)}": train_score,
        "training_rows": prepared.training.target.shape[0],
        "validation_rows": prepared.validation.target.shape[0],
        "epochs": len(history),
        "best_epoch": best.epoch,
        "samples_per_second": len(history) / sum(1 / epoch.samples_per_second for epoch in history),
    }


def _difference(network: Network, prepared: Prepared, rows: pl.DataFrame, model: Path, seed: int) -> float:
    """Return the greatest difference between the graph's and PyTorch's predictions for `rows`.

    The rows are compared twice: as they are, and with a third of all values missing. Raises StageFailure
    if the difference is greater than TOLERANCE.
    """
    columns, learned = prepared.columns, prepared.learned
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(seed)
    gaps = {name: pl.Series(generator.random(rows.height) < 1 / 3) for name in columns.types}
    holes = rows.with_columns(pl.when(~gap).then(pl.col(name)).alias(name) for name, gap in gaps.items())
    worst = 0.0
    for frame in (rows, holes):
        encoded = fitted.encode(columns, frame)
        inputs = (torch.from_numpy(part) for part in (encoded.numeric, encoded.missing, encoded.codes))
        expected = predict(network, tuple(inputs)).numpy()
        feeds = {name: fitted.raw(frame[name]) for name in columns.types}
        prediction, *probabilities = session.run(None, feeds)
        if learned.classes is None:
            answers = ((prediction - learned.mean) / learned.deviation)[:, None]
        else:
            answers = probabilities[0]
        worst = max(worst, float(np.abs(answers - expected).max()))
    if not worst <= TOLERANCE:
        raise StageFailure(
            f"model.onnx differs from the PyTorch model by {worst:.2e} over {rows.height} rows",
            f"at most {TOLERANCE:.0e} is allowed; this is a defect of the trainer: report it",
        )
    return worst


def _write_history(history: Sequence[Epoch], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Epoch)])
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in history)
