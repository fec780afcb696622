"""The network, and what wraps it for export: columns in, digit and probabilities out."""

import torch
from torch import Tensor, nn

SIDE, DIGITS = 8, 10


class Network(nn.Module):
    """Pictures [N, 1, 8, 8], of 0 to 1, to logits [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(32 * 16, DIGITS),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers(pictures)


class FromColumns(nn.Module):
    """64 columns of pixels [N], 0 to 16, to the digit [N] and its probabilities [N, 10]."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: list[Tensor]) -> tuple[Tensor, Tensor]:
        pictures = torch.stack(pixels, 1).reshape(-1, 1, SIDE, SIDE) / 16
        probabilities = self.network(pictures).softmax(1)
        return probabilities.argmax(1), probabilities
