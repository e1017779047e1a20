"""PIDNet-S (Xu et al., 2023): branches for detail, context and boundaries; the boundary decides which of the others to trust."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers.units import Bottleneck, Pools, Residual, head, preactivated, residuals, resized, unit

C = 32


class ParallelPooling(nn.Module):
    """Parallel aggregation pyramid pooling: the scales are convolved as four groups at once."""

    def __init__(self, inputs: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.pools = Pools(inputs, channels)
        self.process = preactivated(4 * channels, 4 * channels, 3, groups=4)
        self.compression = preactivated(5 * channels, outputs, 1)
        self.shortcut = preactivated(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.pools(x)
        scales = self.process(torch.cat([y + first for y in others], 1))
        return self.compression(torch.cat([first, scales], 1)) + self.shortcut(x)


class Guidance(nn.Module):
    """Mixes context into the detail where the two agree."""

    def __init__(self, channels: int, middle: int) -> None:
        super().__init__()
        self.detail, self.context = unit(channels, middle, 1, relu=False), unit(channels, middle, 1, relu=False)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        keys = resized(self.context(context), detail)
        agreement = torch.sigmoid(torch.sum(self.detail(detail) * keys, 1, keepdim=True))
        return (1 - agreement) * detail + agreement * resized(context, detail)


class BoundaryFusion(nn.Module):
    """Detail where there is a boundary, context elsewhere."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.detail, self.context = unit(channels, channels, 1, relu=False), unit(channels, channels, 1, relu=False)

    def forward(self, detail: Tensor, context: Tensor, boundary: Tensor) -> Tensor:
        edge = torch.sigmoid(boundary)
        return self.detail((1 - edge) * context + detail) + self.context(context + edge * detail)


class PIDNet(nn.Module):
    """Logits at 1/8 of the input."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(unit(3, C, 3, 2), unit(C, C, 3, 2), residuals(C, C, 2))
        self.shared = residuals(C, 2 * C, 2, 2)
        self.deep3, self.deep4 = residuals(2 * C, 4 * C, 3, 2), residuals(4 * C, 8 * C, 3, 2)
        self.deep5 = nn.Sequential(Bottleneck(8 * C, 8 * C, 2), Bottleneck(16 * C, 8 * C))
        self.detail3, self.detail4 = residuals(2 * C, 2 * C, 2), residuals(2 * C, 2 * C, 2)
        self.detail5 = Bottleneck(2 * C, 2 * C)
        self.guide3, self.guide4 = Guidance(2 * C, C), Guidance(2 * C, C)
        self.up3, self.up4 = unit(4 * C, 2 * C, 1, relu=False), unit(8 * C, 2 * C, 1, relu=False)
        self.edge3, self.edge4 = Residual(2 * C, C, relu=False), Bottleneck(C, C)
        self.edge5 = Bottleneck(2 * C, 2 * C)
        self.difference3 = unit(4 * C, C, 3, relu=False)
        self.difference4 = unit(8 * C, 2 * C, 3, relu=False)
        self.context = ParallelPooling(16 * C, 96, 4 * C)
        self.fusion = BoundaryFusion(4 * C)
        self.head = head(4 * C, 128, classes)

    def forward(self, images: Tensor) -> Tensor:
        shared = F.relu(self.shared(F.relu(self.stem(images))))
        detail, edge = self.detail3(shared), self.edge3(shared)
        deep = F.relu(self.deep3(shared))
        detail = self.guide3(detail, self.up3(deep))
        edge = edge + resized(self.difference3(deep), edge)
        deep = F.relu(self.deep4(deep))
        detail, edge = self.detail4(F.relu(detail)), self.edge4(F.relu(edge))
        detail = self.guide4(detail, self.up4(deep))
        edge = edge + resized(self.difference4(deep), edge)
        detail, edge = self.detail5(F.relu(detail)), self.edge5(F.relu(edge))
        context = resized(self.context(self.deep5(deep)), detail)
        return self.head(self.fusion(detail, context, edge))
