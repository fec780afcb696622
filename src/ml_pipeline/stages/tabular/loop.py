"""The training loop: all rows on the device, one index permutation per epoch, no loader."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ml_pipeline.stages.outcome import StageFailure
from ml_pipeline.stages.tabular.network import Network
from ml_pipeline.stages.tabular.options import Options

STEPS = 2_400  # of a run whose number of epochs is not given, at most
EVALUATION_ROWS = 65_536  # at once, to bound memory


@dataclass(frozen=True)
class Rows:
    """N rows on the device: the network's three inputs and the target."""

    inputs: tuple[Tensor, Tensor, Tensor]
    target: Tensor  # int64 [N] class indices, or float32 [N] scaled values


@dataclass(frozen=True)
class Result:
    """What training came to; `network` holds the weights of the best epoch."""

    network: Network
    history: list[dict[str, float]]
    best_epoch: int
    seconds: float
    samples_per_second: float


def sizes(rows: int, options: Options) -> tuple[int, int]:
    """Batch size and number of epochs for this many training rows."""
    batch = options.batch_size or min(512, max(32, 2 ** round(math.log2(max(rows, 2) / 40))))
    steps = math.ceil(rows / batch)
    return batch, options.epochs or max(12, min(100, STEPS // steps))


def train(network: Network, training: Rows, validation: Rows, options: Options, report: Callable[[str], None]) -> Result:
    rows = training.target.shape[0]
    device = training.target.device
    batch, epochs = sizes(rows, options)
    steps = math.ceil(rows / batch)
    plain = network.no_decay()
    named = list(network.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in named if n not in plain], "weight_decay": options.weight_decay},
            {"params": [p for n, p in named if n in plain], "weight_decay": 0.0},
        ],
        lr=options.learning_rate,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.learning_rate, total_steps=steps * epochs, pct_start=0.1, cycle_momentum=False
    )
    history: list[dict[str, float]] = []
    best, best_epoch, weights = math.inf, 0, copy.deepcopy(network.state_dict())
    started = time.monotonic()
    spent = 0.0
    for epoch in range(1, epochs + 1):
        clock = time.monotonic()
        network.train()
        order = torch.randperm(rows, device=device)
        total = torch.zeros((), device=device)
        for start in range(0, rows, batch):
            chosen = order[start : start + batch]
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                outputs = network(*(part[chosen] for part in training.inputs))
            loss = _loss(outputs.float(), training.target[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach() * chosen.shape[0]
        train_loss = total.item() / rows
        spent += time.monotonic() - clock
        valid_loss, metric = evaluate(network, validation)
        history.append({"epoch": epoch, "train_loss": train_loss, "validation_loss": valid_loss, "validation_metric": metric})
        report(f"epoch {epoch}/{epochs}: {train_loss:.4f} {valid_loss:.4f} {metric:.4f} {time.monotonic()-clock:.2f}s")
        if valid_loss < best:
            best, best_epoch, weights = valid_loss, epoch, copy.deepcopy(network.state_dict())
        elif epoch - best_epoch >= options.patience:
            break
    network.load_state_dict(weights)
    return Result(network, history, best_epoch, time.monotonic() - started, rows * len(history) / spent)

def _loss(outputs, target):
    members = outputs.shape[0]
    if target.dtype == torch.int64:
        return torch.nn.functional.cross_entropy(outputs.flatten(0, 1), target.repeat(members))
    return torch.nn.functional.mse_loss(outputs.squeeze(2), target.expand(members, -1))

@torch.no_grad()
def predict(network, inputs):
    network.eval()
    out=[]
    for s in range(0, inputs[0].shape[0], EVALUATION_ROWS):
        o = network(*(p[s:s+EVALUATION_ROWS] for p in inputs))
        out.append(o.softmax(2).mean(0) if o.shape[2] > 1 else o.mean(0))
    return torch.cat(out)

def evaluate(network, rows):
    p = predict(network, rows.inputs)
    if rows.target.dtype == torch.int64:
        nll = -p.gather(1, rows.target[:, None]).clamp_min(1e-9).log().mean().item()
        return nll, (p.argmax(1) == rows.target).float().mean().item()
    mse = ((p[:,0]-rows.target)**2).mean().item()
    return mse, 1-mse/rows.target.var().item()
