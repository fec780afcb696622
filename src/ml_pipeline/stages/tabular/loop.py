"""The training loop: all rows on the device, one index permutation per epoch, no loader."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ml_pipeline.stages.outcome import StageFailure
from ml_pipeline.stages.tabular.network import Network
from ml_pipeline.stages.tabular.options import Options, sizes

EVALUATION_ROWS = 16_384  # at once, which bounds memory


@dataclass(frozen=True)
class Rows:
    """N rows on the device."""

    inputs: tuple[Tensor, Tensor, Tensor]  # as `Network.forward` takes them
    target: Tensor  # int64 [N] class indices, or float32 [N] with mean 0 and variance 1


@dataclass(frozen=True)
class Epoch:
    """One epoch's figures; losses are log loss or mean squared error of the scaled target."""

    epoch: int
    train_loss: float  # of single members, while they change and under dropout
    validation_loss: float  # of the ensemble
    validation_score: float  # accuracy, or R² against the training rows' variance
    learning_rate: float
    samples_per_second: float


def train(
    network: Network, training: Rows, validation: Rows, options: Options, progress: Callable[[Epoch], None]
) -> list[Epoch]:
    """Train in place; end with the weights of the best validation loss.

    Raises StageFailure when a loss stops being finite.
    """
    rows, device = training.target.shape[0], training.target.device
    batch, epochs = sizes(rows, options)
    optimizer = torch.optim.AdamW(
        network.parameter_groups(options.weight_decay), lr=options.learning_rate, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        options.learning_rate,
        total_steps=epochs * math.ceil(rows / batch),
        pct_start=0.1,
        cycle_momentum=False,
    )
    history: list[Epoch] = []
    best, weights = 0, copy.deepcopy(network.state_dict())
    for epoch in range(1, epochs + 1):
        clock = time.monotonic()
        rate = schedule.get_last_lr()[0]
        network.train()
        order = torch.randperm(rows, device=device)
        total = torch.zeros((), device=device)
        for start in range(0, rows, batch):
            chosen = order[start : start + batch]
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                outputs = network(*[part[chosen] for part in training.inputs])
            loss = _loss(outputs.float(), training.target[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach() * chosen.shape[0]
        train_loss = total.item() / rows  # waits for the device, so the clock below is right
        speed = rows / (time.monotonic() - clock)
        history.append(Epoch(epoch, train_loss, *score(network, validation), rate, speed))
        progress(history[-1])
        if not math.isfinite(train_loss) or not math.isfinite(history[-1].validation_loss):
            raise StageFailure(
                f"the loss is not finite in epoch {epoch}",
                "lower train.config.learning_rate, or check the data",
            )
        if history[-1].validation_loss < history[best].validation_loss or epoch == 1:
            best, weights = epoch - 1, copy.deepcopy(network.state_dict())
        elif epoch - 1 - best >= options.patience:
            break
    network.load_state_dict(weights)
    return history


def predict(network: Network, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The ensemble's mean: probabilities [N, C], or scaled values [N, 1]."""
    network.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, inputs[0].shape[0], EVALUATION_ROWS):
            outputs = network(*[part[start : start + EVALUATION_ROWS] for part in inputs])
            parts.append((outputs.softmax(2) if outputs.shape[2] > 1 else outputs).mean(0))
    return torch.cat(parts)


def score(network: Network, rows: Rows) -> tuple[float, float]:
    """Log loss and accuracy, or mean squared error and R² (of the scaled target)."""
    answers = predict(network, rows.inputs)
    if rows.target.dtype == torch.int64:
        chances = answers.gather(1, rows.target.unsqueeze(1)).clamp_min(1e-12)
        return -chances.log().mean().item(), (answers.argmax(1) == rows.target).float().mean().item()
    error = torch.nn.functional.mse_loss(answers.squeeze(1), rows.target).item()
    return error, 1.0 - error


def _loss(outputs: Tensor, target: Tensor) -> Tensor:
    """The mean of the members' own losses: each must be right by itself."""
    members = outputs.shape[0]
    if target.dtype == torch.int64:
        return torch.nn.functional.cross_entropy(outputs.flatten(0, 1), target.repeat(members))
    return torch.nn.functional.mse_loss(outputs.squeeze(2), target.expand(members, -1))
