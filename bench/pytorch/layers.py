"""Layers that the supernet and the discrete network share, as PyTorch users write them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-3

Named = dict[str, Tensor]


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with the epsilon of every norm of the network."""
    return nn.BatchNorm2d(channels, eps=EPSILON)


def load_norm(target: nn.BatchNorm2d, tensors: Named, name: str, rows: slice = slice(None)) -> None:
    """Loads a norm (or rows of it) by its name in Lathe, with its statistics if present."""
    target.weight.data.copy_(tensors[f"{name}/gamma"][rows])
    target.bias.data.copy_(tensors[f"{name}/beta"][rows])
    if f"{name}/mean" in tensors:
        target.running_mean.copy_(tensors[f"{name}/mean"][rows])
        target.running_var.copy_(tensors[f"{name}/variance"][rows])


class Reduction(nn.Module):
    """ReLU(BN(concat(convolution 3x3 of stride 2, max-pool 2x2))), [N, in, H, W] -> [N, convolution + in, H/2, W/2]."""

    def __init__(self, inputs: int, convolution: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, convolution, 3, stride=2, padding=1, bias=False)
        self.norm = norm(convolution + inputs)

    def forward(self, x: Tensor, presence: Tensor | None = None) -> Tensor:
        y = self.norm(torch.cat([self.conv(x), F.max_pool2d(x, 2)], 1))
        if presence is not None:
            kept = presence.new_ones(1, self.conv.out_channels, 1, 1)
            y = y * torch.cat([kept, presence], 1)
        return F.relu(y)

    def load(self, tensors: Named, name: str) -> None:
        """Loads the weights of a network of Lathe."""
        self.conv.weight.data.copy_(tensors[f"{name}/conv"])
        load_norm(self.norm, tensors, f"{name}/norm")


class Factorized(nn.Module):
    """BN(conv 1x3(ReLU(mask * BN(conv 3x1(x))))), dilated, at 1/scale of the resolution of x."""

    def __init__(self, channels: tuple[int, int, int], dilation: int, scale: int, dropout: float = 0.0) -> None:
        super().__init__()
        inputs, middle, outputs = channels
        self.scale, self.dropout = scale, dropout
        self.conv1 = nn.Conv2d(inputs, middle, (3, 1), padding=(dilation, 0), dilation=(dilation, 1), bias=False)
        self.norm1 = norm(middle)
        self.conv2 = nn.Conv2d(middle, outputs, (1, 3), padding=(0, dilation), dilation=(1, dilation), bias=False)
        self.norm2 = norm(outputs)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y = F.max_pool2d(x, 2) if self.scale == 2 else x
        y = self.norm1(self.conv1(y))
        y = F.relu(y if mask is None else mask * y)
        y = self.norm2(self.conv2(y))
        if self.scale == 2:
            y = F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=True)
        return F.dropout2d(y, self.dropout, self.training) if self.dropout else y
