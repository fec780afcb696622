"""The network: piecewise-linear embeddings, one perceptron, an ensemble inside it.

Numeric embeddings are those of Gorishniy, Rubachev, Babenko, "On Embeddings for
Numerical Features in Tabular Deep Learning" (arXiv:2203.05556): quantile bins, then
a linear layer per feature. The ensemble is TabM-mini of Gorishniy, Kotelnikov,
Babenko, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling"
(arXiv:2410.24210): the members share all weights but a scaling of the inputs and
the last layer.
"""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from ml_pipeline.training.tabular.columns import Columns, Float32
from ml_pipeline.training.tabular.options import Options
from ml_pipeline.training.tabular.world import Share

UNSEEN_RATE = 0.01  # this share of a training batch's codes becomes "unseen", to train its embedding too


class ParameterGroup(TypedDict):
    """Parameters of an optimizer that have the same weight decay."""

    params: Sequence[nn.Parameter]
    weight_decay: float


class Network(nn.Module):  # type: ignore[misc]
    """Turns encoded rows into [members, N, outputs]: logits, or one scaled value for a regression.

    Weights have the shapes in which the exported graph multiplies them.
    """

    def __init__(self, columns: Columns, outputs: int, options: Options) -> None:
        super().__init__()
        low, inverse = _bins(columns)
        features, count, size = low.shape[0], low.shape[2], options.embedding
        self.register_buffer("low", torch.from_numpy(low))
        self.register_buffer("inverse", torch.from_numpy(inverse))
        offsets = [category.offset for category in columns.categories]
        self.register_buffer("unseen", torch.tensor(offsets, dtype=torch.int64))
        self.numeric_weight = _uniform(features, count, size, fan_in=4)
        self.numeric_bias = _uniform(features, 1, size, fan_in=4)
        self.table = nn.Parameter(torch.randn(columns.table_size, size) * 0.5)
        width = size * (features + len(columns.categories)) + len(columns.flagged)
        self.scaling = nn.Parameter(torch.randint(0, 2, (options.members, 1, width)) * 2.0 - 1.0)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for _ in range(options.depth):
            self.weights.append(_uniform(width, options.width, fan_in=width))
            self.biases.append(_uniform(options.width, fan_in=width))
            width = options.width
        self.head_weight = _uniform(options.members, width, outputs, fan_in=width)
        self.head_bias = nn.Parameter(torch.zeros(options.members, 1, outputs))
        self.dropout = options.dropout

    def forward(self, numeric: Tensor, missing: Tensor, codes: Tensor, share: Share | None = None) -> Tensor:
        """Return the members' outputs for numeric float32 [N, F], missing float32 [N, M], codes int64 [N, K].

        If the N rows are a `share` of a batch, random numbers are drawn for the whole batch.
        """
        parts = []
        if numeric.shape[1]:
            places = ((numeric.T.unsqueeze(2) - self.low) * self.inverse).clamp(0.0, 1.0)
            embedded = torch.relu(places @ self.numeric_weight + self.numeric_bias)  # [F, N, E]
            parts.append(embedded.transpose(0, 1).flatten(1))
        parts.append(missing)
        if codes.shape[1]:
            if self.training:
                shape = codes.shape if share is None else (share.rows, codes.shape[1])
                hidden = torch.rand(shape, device=codes.device) < UNSEEN_RATE
                if share is not None:
                    hidden = hidden[share.mine]
                codes = torch.where(hidden, self.unseen, codes)
            parts.append(nn.functional.embedding(codes, self.table).flatten(1))
        state = torch.cat(parts, 1) * self.scaling  # [members, N, width]
        for weight, bias in zip(self.weights, self.biases, strict=True):
            # addmm passes over the largest tensor of a step once instead of twice.
            hidden = torch.addmm(bias, state.flatten(0, 1), weight).unflatten(0, state.shape[:2])
            state = self._drop(torch.relu(hidden), share)
        return torch.baddbmm(self.head_bias, state, self.head_weight)

    def _drop(self, state: Tensor, share: Share | None) -> Tensor:
        """Apply dropout. Its rate is a multiple of 1/256, so that eight values need one random int64."""
        dropped = round(self.dropout * 256)
        if not self.training or not dropped:
            return state
        shape = state.shape if share is None else (state.shape[0], share.rows, state.shape[2])
        words = torch.empty(-(-math.prod(shape) // 8), dtype=torch.int64, device=state.device)
        drawn = words.random_(-(2**63), None).view(torch.uint8)[: math.prod(shape)].view(shape)
        if share is not None:
            drawn = drawn[:, share.mine]
        # A comparison of numbers of the state's own type is several times as fast as one that makes booleans.
        return state * drawn.to(state.dtype).ge_(dropped).mul_(256 / (256 - dropped))

    def parameter_groups(self, weight_decay: float) -> list[ParameterGroup]:
        """Return the parameters for an optimizer; biases and the members' scaling do not decay."""
        named = list(self.named_parameters())
        free = [name for name, _ in named if "bias" in name or name == "scaling"]
        return [
            {"params": [value for name, value in named if name not in free], "weight_decay": weight_decay},
            {"params": [value for name, value in named if name in free], "weight_decay": 0.0},
        ]


def _bins(columns: Columns) -> tuple[Float32, Float32]:
    """Return the low edge and 1 / width of each bin, [F, 1, B]. Zeros are padding, whose output is 0."""
    count = max((feature.edges.size - 1 for feature in columns.features), default=1)
    low = np.zeros((len(columns.features), 1, count), np.float32)
    inverse = np.zeros_like(low)
    for index, feature in enumerate(columns.features):
        size = feature.edges.size - 1
        low[index, 0, :size] = feature.edges[:-1]
        widths = np.diff(feature.edges.astype(np.float64))
        inverse[index, 0, :size] = np.minimum(1.0 / widths, np.finfo(np.float32).max)
    return low, inverse


def _uniform(*shape: int, fan_in: int) -> nn.Parameter:
    bound = 1.0 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))
