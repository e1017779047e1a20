"""BiSeNetV2 (Yu et al., 2021): a shallow and wide branch for detail, a deep and narrow one for semantics, and their guided aggregation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers.units import convolution, resized, unit


class Expansion(nn.Module):
    """Gather and expansion: a 3x3 convolution, a depthwise one of six times the channels, and a projection."""

    RATIO = 6

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        wide = self.RATIO * inputs
        # At stride 2 a second depthwise convolution follows the one that strides.
        deep = [unit(inputs, wide, 3, 2, inputs, relu=False)] if stride == 2 else []
        last = unit(wide, wide, 3, groups=wide) if stride == 2 else unit(inputs, wide, 3, groups=inputs)
        self.body = nn.Sequential(unit(inputs, inputs), *deep, last, unit(wide, outputs, 1, relu=False))
        self.skip = (
            nn.Sequential(unit(inputs, inputs, 3, 2, inputs, relu=False), unit(inputs, outputs, 1, relu=False))
            if stride == 2
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


class Stem(nn.Module):
    """Two ways to 1/4, a convolution and a pool, which are joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = unit(3, channels, 3, 2)
        self.convolved = nn.Sequential(unit(channels, channels // 2, 1), unit(channels // 2, channels, 3, 2))
        self.joined = unit(2 * channels, channels)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images)
        return self.joined(torch.cat([self.convolved(x), F.max_pool2d(x, 3, 2, 1)], 1))


class Context(nn.Module):
    """Context embedding: the global mean is added to every position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.mean, self.last = unit(channels, channels, 1), unit(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x + self.mean(self.norm(torch.mean(x, (2, 3), keepdim=True))))


class Aggregation(nn.Module):
    """Bilateral guided aggregation: each branch is gated by the other, at both resolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        separable = lambda: nn.Sequential(  # noqa: E731
            unit(channels, channels, 3, groups=channels, relu=False), convolution(channels, channels, 1)
        )
        self.fine, self.gate_low = separable(), separable()
        self.coarse = nn.Sequential(unit(channels, channels, 3, 2, relu=False), nn.AvgPool2d(3, 2, 1))
        self.gate_high = unit(channels, channels, relu=False)
        self.last = unit(channels, channels, relu=False)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        high = self.fine(detail) * torch.sigmoid(resized(self.gate_high(semantic), detail))
        low = self.coarse(detail) * torch.sigmoid(self.gate_low(semantic))
        return self.last(high + resized(low, detail))


class BiSeNetV2(nn.Module):
    """Logits at 1/8 of the input."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.detail = nn.Sequential(
            *(unit(3, 64, 3, 2), unit(64, 64)),
            *(unit(64, 64, 3, 2), unit(64, 64), unit(64, 64)),
            *(unit(64, 128, 3, 2), unit(128, 128), unit(128, 128)),
        )
        self.semantic = nn.Sequential(
            Stem(16),
            *(Expansion(16, 32, 2), Expansion(32, 32)),
            *(Expansion(32, 64, 2), Expansion(64, 64)),
            *(Expansion(64, 128, 2), Expansion(128, 128), Expansion(128, 128), Expansion(128, 128)),
            Context(128),
        )
        self.aggregation = Aggregation(128)
        self.head = nn.Sequential(unit(128, 1024), nn.Dropout(0.1), nn.Conv2d(1024, classes, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.aggregation(self.detail(images), self.semantic(images)))
