"""Units that the peers share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the extent at stride 1."""
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)


def unit(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1, relu: bool = True) -> nn.Sequential:
    """Convolution, norm and, if not said otherwise, ReLU."""
    layers = [convolution(inputs, outputs, size, stride, groups), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


def preactivated(inputs: int, outputs: int, size: int, groups: int = 1) -> nn.Sequential:
    """Norm, ReLU and convolution."""
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), convolution(inputs, outputs, size, groups=groups))


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear, to the extent of another tensor."""
    size = [int(extent) for extent in like.shape[2:]]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity; the last ReLU is left to the caller if not wanted."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.body = nn.Sequential(unit(inputs, outputs, 3, stride), unit(outputs, outputs, relu=False))
        same = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if same else unit(inputs, outputs, 1, stride, relu=False)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x) + self.skip(x)
        return F.relu(y) if self.relu else y


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside the identity; gives twice its channels, and leaves the last ReLU to the caller."""

    def __init__(self, inputs: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        outputs = 2 * channels
        self.body = nn.Sequential(
            unit(inputs, channels, 1), unit(channels, channels, 3, stride), unit(channels, outputs, 1, relu=False)
        )
        same = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if same else unit(inputs, outputs, 1, stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.skip(x)


def residuals(inputs: int, outputs: int, count: int, stride: int = 1) -> nn.Sequential:
    """Residual blocks in a row, of which the last has no ReLU at its end."""
    first = [Residual(inputs, outputs, stride, relu=count > 1)]
    return nn.Sequential(*first, *(Residual(outputs, outputs, relu=at < count) for at in range(2, count + 1)))


def head(inputs: int, channels: int, classes: int) -> nn.Sequential:
    """The classifier of DDRNet and PIDNet."""
    return nn.Sequential(
        preactivated(inputs, channels, 3), nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.Conv2d(channels, classes, 1)
    )


class Pools(nn.Module):
    """The first layer of the pyramid poolings of DDRNet and PIDNet: the input, three average pools and the global mean, with 1x1 convolutions."""

    WINDOWS = (5, 9, 17)

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList([preactivated(inputs, channels, 1) for _ in range(len(self.WINDOWS) + 2)])

    def forward(self, x: Tensor) -> list[Tensor]:
        pooled = [F.avg_pool2d(x, window, window // 2, window // 2) for window in self.WINDOWS]
        whole = torch.mean(x, (2, 3), keepdim=True)
        return [resized(scale(y), x) for scale, y in zip(self.scales, [x, *pooled, whole])]
