"""ERFNet (Romera et al., 2018): factorized residual convolutions in an encoder, and a decoder of transposed convolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-3


class Down(nn.Module):
    """A convolution of stride 2 and a max pool, side by side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs - inputs, 3, 2, 1)
        self.norm = nn.BatchNorm2d(outputs, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(torch.cat([self.convolution(x), F.max_pool2d(x, 2)], 1)))


class Factorized(nn.Module):
    """Two pairs of 3x1 and 1x3 convolutions beside the identity; the second pair is dilated."""

    def __init__(self, channels: int, dilation: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.pairs = nn.Sequential(*self.pair(channels, 1), nn.ReLU(inplace=True), *self.pair(channels, dilation))
        self.dropout = nn.Dropout2d(dropout)

    @staticmethod
    def pair(channels: int, dilation: int) -> list[nn.Module]:
        """A 3x1 and a 1x3 convolution."""
        return [
            nn.Conv2d(channels, channels, (3, 1), padding=(dilation, 0), dilation=(dilation, 1)),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, (1, 3), padding=(0, dilation), dilation=(1, dilation)),
            nn.BatchNorm2d(channels, EPSILON),
        ]

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.dropout(self.pairs(x)) + x)


class Up(nn.Sequential):
    """A transposed convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        transposed = nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, 1)
        super().__init__(transposed, nn.BatchNorm2d(outputs, EPSILON), nn.ReLU(inplace=True))


class ERFNet(nn.Sequential):
    """Logits at the size of the input."""

    def __init__(self, classes: int) -> None:
        super().__init__(
            *(Down(3, 16), Down(16, 64)),
            *(Factorized(64, 1, 0.03) for _ in range(5)),
            Down(64, 128),
            *(Factorized(128, dilation, 0.3) for _ in range(2) for dilation in (2, 4, 8, 16)),
            *(Up(128, 64), Factorized(64), Factorized(64)),
            *(Up(64, 16), Factorized(16), Factorized(16)),
            nn.ConvTranspose2d(16, classes, 2, 2),
        )
