"""DDRNet-23-slim (Hong et al., 2021): a branch at 1/8 beside a deep one, which exchange their features twice."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers.units import Bottleneck, Pools, head, preactivated, residuals, resized, unit

C = 32


class DeepPooling(nn.Module):
    """Deep aggregation pyramid pooling: each scale is added to the one before and convolved."""

    def __init__(self, inputs: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.pools = Pools(inputs, channels)
        self.process = nn.ModuleList([preactivated(channels, channels, 3) for _ in range(4)])
        self.compression = preactivated(5 * channels, outputs, 1)
        self.shortcut = preactivated(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.pools(x)
        scales = [first]
        for process, y in zip(self.process, others):
            scales.append(process(y + scales[-1]))
        return self.compression(torch.cat(scales, 1)) + self.shortcut(x)


class DDRNet(nn.Module):
    """Logits at 1/8 of the input."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(unit(3, C, 3, 2), unit(C, C, 3, 2), residuals(C, C, 2))
        self.shared = residuals(C, 2 * C, 2, 2)
        self.deep3, self.deep4 = residuals(2 * C, 4 * C, 2, 2), residuals(4 * C, 8 * C, 2, 2)
        self.deep5 = Bottleneck(8 * C, 8 * C, 2)
        self.fine3, self.fine4 = residuals(2 * C, 2 * C, 2), residuals(2 * C, 2 * C, 2)
        self.fine5 = Bottleneck(2 * C, 2 * C)
        self.up3, self.up4 = unit(4 * C, 2 * C, 1, relu=False), unit(8 * C, 2 * C, 1, relu=False)
        self.down3 = unit(2 * C, 4 * C, 3, 2, relu=False)
        self.down4 = nn.Sequential(unit(2 * C, 4 * C, 3, 2), unit(4 * C, 8 * C, 3, 2, relu=False))
        self.context = DeepPooling(16 * C, 128, 4 * C)
        self.head = head(4 * C, 64, classes)

    def forward(self, images: Tensor) -> Tensor:
        shared = F.relu(self.shared(F.relu(self.stem(images))))
        deep, fine = self.deep3(shared), self.fine3(shared)
        deep, fine = deep + self.down3(F.relu(fine)), fine + resized(self.up3(F.relu(deep)), fine)
        deep, fine = self.deep4(F.relu(deep)), self.fine4(F.relu(fine))
        deep, fine = deep + self.down4(F.relu(fine)), fine + resized(self.up4(F.relu(deep)), fine)
        fine = self.fine5(F.relu(fine))
        return self.head(fine + resized(self.context(self.deep5(F.relu(deep))), fine))
