"""From a table to rows on the device: what trains, what validates, and what names the run."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ml_pipeline.training.tabular import columns as fitted
from ml_pipeline.training.tabular import target
from ml_pipeline.training.tabular.options import Options, bins


@dataclass(frozen=True)
class Rows:
    """N rows on the device."""

    inputs: tuple[Tensor, Tensor, Tensor]  # as `Network.forward` takes them
    target: Tensor  # int64 [N] class indices, or float32 [N] with mean 0 and variance 1

    def at(self, places: Tensor) -> "Rows":
        return Rows(tuple(part[places] for part in self.inputs), self.target[places])


@dataclass(frozen=True)
class Prepared:
    """All that training starts from."""

    columns: fitted.Columns
    learned: target.Target
    held: Any  # bool [N], the rows that early stopping watches
    training: Rows
    validation: Rows
    class_weights: Any  # float32 [C] on the device, or None
    digest: str  # of the rows as they are trained on

    @property
    def everything(self) -> Rows:
        parts = zip(self.training.inputs, self.validation.inputs, strict=True)
        target = torch.cat([self.training.target, self.validation.target])
        return Rows(tuple(torch.cat(both) for both in parts), target)

    @property
    def outputs(self) -> int:
        return len(self.learned.classes or [0])


def prepare(frame: Any, name: str, task: str, options: Options, seed: int, device: str) -> Prepared:
    """Fit columns and target to `frame`, whose target is the column `name`. Raises StageFailure."""
    learned = target.read(frame[name], task)
    rows = frame.drop(name)
    columns = fitted.fit(rows, bins(rows.height, options))
    held = target.validation_rows(learned.values, options.validation, seed)
    encoded = fitted.encode(columns, rows)
    parts = (encoded.numeric, encoded.missing, encoded.codes, learned.values)
    digest = hashlib.sha256()
    for part in (*parts, held):
        digest.update(part.tobytes())
    training, validation = (on_device(parts, mask, device) for mask in (~held, held))
    weights = None
    if options.class_weight == "balanced" and learned.classes:
        weights = torch.from_numpy(target.balanced(learned.values[~held], len(learned.classes))).to(device)
    return Prepared(columns, learned, held, training, validation, weights, digest.hexdigest())


def on_device(parts: Any, mask: Any, device: str) -> Rows:
    """Put the rows where `mask` is true on the device; `parts` are a network's inputs and the target."""
    *inputs, wanted = (torch.from_numpy(part[mask]).to(device) for part in parts)
    return Rows(tuple(inputs), wanted)


def run_key(prepared: Prepared, options: Options, seed: int, device: str) -> str:
    """Name the run: equal where a checkpoint of one can be gone on with by the other."""
    code = hashlib.sha256()  # of the trainer: another one takes other steps from the same state
    for path in sorted(Path(__file__).parent.glob("*.py")):
        code.update(path.read_bytes())
    versions = {"torch": torch.__version__, "device": device, "code": code.hexdigest()}
    document = {"rows": prepared.digest, "options": asdict(options), "seed": seed, **versions}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
