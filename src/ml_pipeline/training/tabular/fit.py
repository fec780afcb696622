"""The built-in trainer: from rows to a model folder."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import torch

from ml_pipeline.common.lines import one_line
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training.details import BuiltInDetails
from ml_pipeline.training.tabular import loop, options, results
from ml_pipeline.training.tabular.checkpoints import Checkpoints
from ml_pipeline.training.tabular.network import Network
from ml_pipeline.training.tabular.prepare import Prepared, prepare, run_key
from ml_pipeline.training.tabular.results import metric
from ml_pipeline.training.tabular.world import ALONE, World

# What messages about too little memory say. (One about an illegal access to memory has none of these.)
OUT_OF_MEMORY = ("out of memory", "allocate memory", "not enough memory")


@dataclass(frozen=True)
class Place:
    """Where a run trains: its seed, its device, the folder of its checkpoint, and the other processes."""

    seed: int
    device: str  # cpu or cuda
    checkpoints: Path
    world: World = ALONE


def train_file(
    data: Path, target: str, task: str, config: Mapping[str, object], output: Path, place: Place
) -> BuiltInDetails:
    """Call `fit` with the rows of a Parquet file, whose target is the column `target`.

    Raises StageFailure.
    """
    try:
        frame = pl.read_parquet(data)
    except (OSError, pl.exceptions.PolarsError) as error:
        cause = f"{data} can't be read as Parquet: {one_line(error)}"
        raise StageFailure(cause, "split the data again") from None
    if target not in frame.columns:
        hint = f"check data.target: {nearest(target, frame.columns)}"
        raise StageFailure(f"the training rows have no column {target!r}", hint)
    return fit(frame, target, task, config, output, place)


def fit(
    frame: pl.DataFrame, target: str, task: str, config: Mapping[str, object], output: Path, place: Place
) -> BuiltInDetails:
    """Train on `frame`, whose target is the column `target`; write the model to the folder `output`.

    Writes model.onnx, weights.safetensors, metrics.json and history.csv. The same rows, seed, processor and
    number of processes give the same weights, even if the run was interrupted and continued from its
    checkpoint. Of several processes, only rank 0 writes, and the others return nothing.
    Raises StageFailure.
    """
    chosen = options.read(config)
    started = time.monotonic()
    prepared = prepare(frame, target, task, chosen, place.seed, place.device)
    for unused in prepared.columns.unused:
        print(f"column {unused!r} is not used: it has one value only, or rare values only", flush=True)
    checkpoints = Checkpoints(place.checkpoints, place.world)
    network, history = _trained(prepared, chosen, place, checkpoints)
    details: BuiltInDetails = {}
    if place.world.rank == 0:
        rows = frame.drop(target).filter(prepared.held_out)
        details = results.write(prepared, network, history, rows, output, place.seed, started)
    place.world.wait()  # until the model is written: until then each process keeps its checkpoint
    checkpoints.clear()
    return details


def make_deterministic(seed: int, device: str) -> None:
    """Seed all random numbers, and make torch's results reproducible."""
    torch.manual_seed(seed)
    if device == "cuda":  # cuBLAS reads this before its first call
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # On CUDA, an operation without a deterministic form warns instead of ending the run.
    torch.use_deterministic_algorithms(True, warn_only=device == "cuda")
    torch.utils.deterministic.fill_uninitialized_memory = False  # nothing reads it, and filling takes time


def out_of_memory(error: BaseException) -> bool:
    """Return whether the error means too little memory; on the CPU torch has no exception class for it."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


def _trained(
    prepared: Prepared, chosen: options.Options, place: Place, checkpoints: Checkpoints
) -> tuple[Network, list[loop.Epoch]]:
    """Train; if memory is too small for a batch, train once more with a quarter of the batch size."""
    try:
        return _train(prepared, chosen, place, checkpoints)
    except (MemoryError, RuntimeError) as error:
        rows = prepared.training.target.shape[0]
        batch = min(rows, options.sizes(rows, chosen)[0]) // 4
        if not out_of_memory(error) or batch < 1 or place.world.size > 1:
            raise  # with several processes, the others may have enough memory
    print(f"out of memory on {place.device}: training again with batches of {batch} rows", flush=True)
    if place.device == "cuda":
        torch.cuda.empty_cache()
    return _train(prepared, replace(chosen, batch_size=batch), place, checkpoints)


def _train(
    prepared: Prepared, chosen: options.Options, place: Place, checkpoints: Checkpoints
) -> tuple[Network, list[loop.Epoch]]:
    make_deterministic(place.seed, place.device)
    network = Network(prepared.columns, prepared.outputs, chosen).to(place.device)
    run = loop.Loop(network, prepared.training, chosen, prepared.class_weights, place.world)
    train, validation = (rows.target.shape[0] for rows in (prepared.training, prepared.validation))
    print(
        f"{train} rows for training and {validation} for validation, in batches of {run.batch}, on"
        f" {place.device}",
        flush=True,
    )

    def progress(epoch: loop.Epoch, left: float) -> None:
        print(
            f"epoch {epoch.epoch} of {run.epochs}: train loss {epoch.train_loss:.4f}, validation loss"
            f" {epoch.validation_loss:.4f}, {metric(prepared)} {epoch.validation_score:.4f},"
            f" {epoch.samples_per_second:,.0f} rows/s, at most {left:.0f} s left",
            flush=True,
        )

    key = run_key(prepared, chosen, place.seed, place.device)
    history = run.run(prepared.validation, checkpoints, key, progress)
    if train + validation <= chosen.refit_rows:
        network = _refit(prepared, chosen, place, run.batch, loop.best_epoch(history).epoch)
    return network, history


def _refit(prepared: Prepared, chosen: options.Options, place: Place, batch: int, epochs: int) -> Network:
    """Train again on all rows, for as many epochs as were best: small data needs every row."""
    rows = prepared.all_rows
    print(f"training again on all {rows.target.shape[0]} rows, for {epochs} epochs", flush=True)
    make_deterministic(place.seed, place.device)
    network: Network = Network(prepared.columns, prepared.outputs, chosen).to(place.device)
    again = replace(chosen, epochs=epochs, batch_size=batch)
    loop.Loop(network, rows, again, prepared.class_weights, place.world).run_without_validation()
    return network
