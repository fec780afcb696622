"""From rows to a model folder: split, train, export, and prove the export equal."""

import csv
import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import safetensors.numpy
import torch

from ml_pipeline.common.lines import one_line
from ml_pipeline.common.names import nearest
from ml_pipeline.common.onnx_runtime import onnxruntime
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training.tabular import columns as fitted
from ml_pipeline.training.tabular import export, loop, options
from ml_pipeline.training.tabular.checkpoints import Checkpoints
from ml_pipeline.training.tabular.network import Network
from ml_pipeline.training.tabular.prepare import Prepared, prepare, run_key
from ml_pipeline.training.tabular.scoring import predict, score
from ml_pipeline.training.tabular.world import ALONE, World

TOLERANCE = 1e-5  # of probabilities, or of the target's standard deviation


@dataclass(frozen=True)
class Place:
    """Where a run trains, from which seed, where its checkpoint lies, and with which other processes."""

    seed: int
    device: str  # cpu or cuda
    checkpoints: Path
    world: World = ALONE


def fit(
    frame: Any, name: str, task: str, config: dict[str, Any], output: Path, place: Place
) -> dict[str, Any]:
    """Train on `frame`, whose target is the column `name`; write the model to `output`.

    Writes model.onnx, weights.safetensors, metrics.json and history.csv. The same
    rows, seed, processor and number of processes give the same weights, also of a run
    that was interrupted and went on from its checkpoint. Returns what came of it; of
    several processes, rank 0 alone writes, and the others return nothing.
    """
    chosen = options.read(config)
    started = time.monotonic()
    prepared = prepare(frame, name, task, chosen, place.seed, place.device)
    for unused in prepared.columns.unused:
        print(f"column {unused!r} is not used: it has one value only, or no value often enough", flush=True)
    checkpoints = Checkpoints(place.checkpoints, place.world)
    network, history = _trained(prepared, chosen, place, checkpoints)
    details: dict[str, Any] = {}
    if place.world.rank == 0:
        rows = frame.drop(name).filter(prepared.held)
        details = _written(prepared, network, history, rows, output, place.seed, started)
    place.world.wait()  # until the model is written, each keeps what training could go on from
    checkpoints.clear()
    return details


def _written(
    prepared: Prepared,
    network: Network,
    history: list[loop.Epoch],
    rows: Any,
    output: Path,
    seed: int,
    started: float,
) -> dict[str, Any]:
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


def make_deterministic(seed: int, device: str) -> None:
    """Seed all random numbers, and let torch compute the same from the same."""
    torch.manual_seed(seed)
    if device == "cuda":  # cuBLAS asks for this before its first call
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # On CUDA, an operation without a deterministic form warns instead of ending the run.
    torch.use_deterministic_algorithms(True, warn_only=device == "cuda")
    torch.utils.deterministic.fill_uninitialized_memory = False  # nothing reads it, and filling takes time


def out_of_memory(error: BaseException) -> bool:
    """Whether that is what an error says; torch has no class of its own for it on the CPU."""
    told = (
        "out of memory",
        "allocate memory",
        "not enough memory",
    )  # an illegal access to it is none of these
    return isinstance(error, MemoryError) or any(words in str(error) for words in told)


def _trained(
    prepared: Prepared, chosen: options.Options, place: Place, checkpoints: Checkpoints
) -> tuple[Network, list[loop.Epoch]]:
    """Train; where memory is too small for the batch, once more with a quarter of it."""
    try:
        return _train(prepared, chosen, place, checkpoints)
    except (MemoryError, RuntimeError) as error:
        rows = prepared.training.target.shape[0]
        batch = min(rows, options.sizes(rows, chosen)[0]) // 4
        if not out_of_memory(error) or batch < 1 or place.world.size > 1:
            raise  # of several processes one alone may lack memory
    print(f"out of memory on {place.device}: training anew, {batch} rows at a time", flush=True)
    if place.device == "cuda":
        torch.cuda.empty_cache()
    return _train(prepared, replace(chosen, batch_size=batch), place, checkpoints)


def _train(
    prepared: Prepared, chosen: options.Options, place: Place, checkpoints: Checkpoints
) -> tuple[Network, list[loop.Epoch]]:
    make_deterministic(place.seed, place.device)
    network = Network(prepared.columns, prepared.outputs, chosen).to(place.device)
    run = loop.Loop(network, prepared.training, chosen, prepared.class_weights, place.world)
    train, held = (rows.target.shape[0] for rows in (prepared.training, prepared.validation))
    print(f"{train} rows train and {held} validate, {run.batch} at a time, on {place.device}", flush=True)

    def progress(epoch: loop.Epoch, left: float) -> None:
        print(
            f"epoch {epoch.epoch} of {run.epochs}: train loss {epoch.train_loss:.4f}, validation loss"
            f" {epoch.validation_loss:.4f}, {_metric(prepared)} {epoch.validation_score:.4f},"
            f" {epoch.samples_per_second:,.0f} rows/s, at most {left:.0f} s left",
            flush=True,
        )

    key = run_key(prepared, chosen, place.seed, place.device)
    history = run.run(prepared.validation, checkpoints, key, progress)
    if train + held <= chosen.refit_rows:
        network = _refit(prepared, chosen, place, run.batch, _best(history).epoch)
    return network, history


def _refit(prepared: Prepared, chosen: options.Options, place: Place, batch: int, epochs: int) -> Network:
    """Train anew on all rows, for as many epochs as were best: few rows are too good to be kept back."""
    rows = prepared.everything
    print(f"training anew on all {rows.target.shape[0]} rows, for {epochs} epochs", flush=True)
    make_deterministic(place.seed, place.device)
    network: Network = Network(prepared.columns, prepared.outputs, chosen).to(place.device)
    again = replace(chosen, epochs=epochs, batch_size=batch)
    loop.Loop(network, rows, again, prepared.class_weights, place.world).run_without_validation()
    return network


def _metrics(prepared: Prepared, network: Network, history: list[loop.Epoch]) -> dict[str, Any]:
    best = _best(history)
    train_loss, train_score = score(network, prepared.training, prepared.class_weights)
    return {
        "validation_loss": best.validation_loss,
        f"validation_{_metric(prepared)}": best.validation_score,
        "train_loss": train_loss,
        f"train_{_metric(prepared)}": train_score,
        "training_rows": prepared.training.target.shape[0],
        "validation_rows": prepared.validation.target.shape[0],
        "epochs": len(history),
        "best_epoch": best.epoch,
        "samples_per_second": len(history) / sum(1 / epoch.samples_per_second for epoch in history),
    }


def _best(history: list[loop.Epoch]) -> loop.Epoch:
    return min(history, key=lambda epoch: epoch.validation_loss)


def _metric(prepared: Prepared) -> str:
    return "r2" if prepared.learned.classes is None else "accuracy"


def train_file(
    data: Path, settings: dict[str, Any], config: dict[str, Any], output: Path, place: Place
) -> dict[str, Any]:
    """`fit` on a Parquet file, as the train stage's settings say. Raises StageFailure."""
    try:
        frame = pl.read_parquet(data)
    except (OSError, pl.exceptions.PolarsError) as error:
        cause = f"{data} can't be read as Parquet: {one_line(error)}"
        raise StageFailure(cause, "split the data anew") from None
    name = settings["target"]
    if name not in frame.columns:
        hint = f"check data.target: {nearest(name, frame.columns)}"
        raise StageFailure(f"the training rows have no column {name!r}", hint)
    return fit(frame, name, settings["task"], config, output, place)


def _difference(network: Network, prepared: Prepared, rows: Any, model: Path, seed: int) -> float:
    """The greatest difference between the graph's and PyTorch's answers over `rows`.

    They are asked twice: as they are, and with a third of all values missing.
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
        wanted = predict(network, tuple(inputs)).numpy()
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
