"""From a table to rows on the device, for training and for validation; and the run's key."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from ml_pipeline.training import weights_code
from ml_pipeline.training.tabular import columns as fitted
from ml_pipeline.training.tabular import target
from ml_pipeline.training.tabular.options import Options, bins


@dataclass(frozen=True)
class Rows:
    """N rows on the device."""

    inputs: tuple[Tensor, Tensor, Tensor]  # of `Network.forward`
    target: Tensor  # int64 [N] class indices, or float32 [N] with mean 0 and variance 1

    def at(self, places: Tensor) -> "Rows":
        """Return the rows at these places, int64 [M]."""
        return Rows(tuple(part[places] for part in self.inputs), self.target[places])


@dataclass(frozen=True)
class Prepared:
    """Everything that training starts from."""

    columns: fitted.Columns
    learned: target.Target
    held_out: npt.NDArray[np.bool_]  # [N], the rows that early stopping watches
    training: Rows
    validation: Rows
    class_weights: Tensor | None  # float32 [C] on the device
    digest: str  # of the encoded rows

    @property
    def all_rows(self) -> Rows:
        """The rows of training and validation."""
        parts = zip(self.training.inputs, self.validation.inputs, strict=True)
        target = torch.cat([self.training.target, self.validation.target])
        return Rows(tuple(torch.cat(both) for both in parts), target)

    @property
    def outputs(self) -> int:
        """How many outputs the network has: one for each class, or one for a regression."""
        return len(self.learned.classes or [0])


def prepare(frame: pl.DataFrame, name: str, task: str, options: Options, seed: int, device: str) -> Prepared:
    """Fit columns and target to `frame`, whose target is the column `name`. Raises StageFailure."""
    learned = target.read(frame[name], task)
    rows = frame.drop(name)
    columns = fitted.fit(rows, bins(rows.height, options))
    held_out = target.validation_rows(learned.values, options.validation, seed)
    encoded = fitted.encode(columns, rows)
    parts = (encoded.numeric, encoded.missing, encoded.codes, learned.values)
    digest = hashlib.sha256()
    for part in (*parts, held_out):
        digest.update(part.tobytes())
    training, validation = (on_device(parts, mask, device) for mask in (~held_out, held_out))
    weights = None
    if options.class_weight == "balanced" and learned.classes:
        codes = learned.values[~held_out].astype(np.int64, copy=False)
        weights = torch.from_numpy(target.balanced(codes, len(learned.classes))).to(device)
    return Prepared(columns, learned, held_out, training, validation, weights, digest.hexdigest())


def on_device(parts: Sequence[npt.NDArray[np.generic]], mask: npt.NDArray[np.bool_], device: str) -> Rows:
    """Put the rows where `mask` is true on the device; `parts` are a network's inputs and the target."""
    *inputs, values = (torch.from_numpy(part[mask]).to(device) for part in parts)
    return Rows(tuple(inputs), values)


def run_key(prepared: Prepared, options: Options, seed: int, device: str) -> str:
    """Name the run: runs with the same key can continue from each other's checkpoints.

    The digest of the encoded rows stands for all code that has read and encoded them.
    """
    versions = {"torch": torch.__version__, "device": device, "code": weights_code.digest()}
    document = {"rows": prepared.digest, "options": asdict(options), "seed": seed, **versions}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
