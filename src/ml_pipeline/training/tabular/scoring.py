"""The trained ensemble's predictions, and their loss and score."""

import torch
from torch import Tensor

from ml_pipeline.training.tabular.network import Network
from ml_pipeline.training.tabular.prepare import Rows
from ml_pipeline.training.tabular.world import ALONE, World

EVALUATION_ROWS = 16_384  # so many rows at once, to bound memory


def predict(network: Network, inputs: tuple[Tensor, Tensor, Tensor], world: World = ALONE) -> Tensor:
    """Return the ensemble's mean: probabilities [N, C], or scaled values [N, 1]."""
    if world.size > 1:
        share = world.share(inputs[0].shape[0])
        own = predict(network, tuple(part[share.mine] for part in inputs))
        whole = own.new_zeros(share.rows, own.shape[1])
        whole[share.mine] = own
        world.add([whole])
        return whole
    network.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, max(inputs[0].shape[0], 1), EVALUATION_ROWS):  # a share may be empty
            outputs = network(*[part[start : start + EVALUATION_ROWS] for part in inputs])
            parts.append((outputs.softmax(2) if outputs.shape[2] > 1 else outputs).mean(0))
    return torch.cat(parts)


def score(network: Network, rows: Rows, weights: Tensor | None, world: World = ALONE) -> tuple[float, float]:
    """Return log loss and accuracy, both weighted by class, or mean squared error and R² (scaled target)."""
    answers = predict(network, rows.inputs, world)
    if rows.target.dtype == torch.int64:
        chances = answers.gather(1, rows.target.unsqueeze(1)).clamp_min(1e-12)
        each = torch.ones_like(chances) if weights is None else weights[rows.target].unsqueeze(1)
        right = (answers.argmax(1) == rows.target).float().unsqueeze(1)
        return tuple((value * each).sum().item() / each.sum().item() for value in (-chances.log(), right))
    error = torch.nn.functional.mse_loss(answers.squeeze(1), rows.target).item()
    return error, 1.0 - error
