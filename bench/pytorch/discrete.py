"""The network of a genotype, as PyTorch users write it."""

from __future__ import annotations

import io
import math
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layers import Factorized, Named, Reduction, load_norm, norm

PYRAMID_BINS = (1, 2, 3, 6, 9)


class Block(nn.Module):
    """ReLU(f(x) + x) on the channels that input and output share; a wider output keeps f(x) on its other channels."""

    def __init__(self, inputs: int, block: dict) -> None:
        super().__init__()
        channels = (inputs, block["middleWidth"], block["outputWidth"])
        self.inputs, self.outputs = inputs, block["outputWidth"]
        self.operation = Factorized(channels, block["dilation"], block["scale"])

    def forward(self, x: Tensor) -> Tensor:
        y = self.operation(x)
        if self.inputs >= self.outputs:
            return F.relu(y + x[:, : self.outputs])
        return F.relu(torch.cat([y[:, : self.inputs] + x, y[:, self.inputs :]], 1))

    def load(self, tensors: Named, name: str) -> None:
        """Loads the weights of a network of Lathe."""
        for layer in ("1", "2"):
            getattr(self.operation, f"conv{layer}").weight.data.copy_(tensors[f"{name}/conv{layer}"])
            load_norm(getattr(self.operation, f"norm{layer}"), tensors, f"{name}/norm{layer}")


class SearchHead(nn.Module):
    """1x1 convolution on the last of two stages."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, classes, 1)

    def forward(self, _image: Tensor, _stem: Tensor, stages: list[Tensor]) -> Tensor:
        return self.conv(stages[-1])

    def load(self, tensors: Named) -> None:
        """Loads the weights of a network of Lathe."""
        self.conv.weight.data.copy_(tensors["head/conv"])
        self.conv.bias.data.copy_(tensors["head/bias"])


class Unit(nn.Module):
    """ReLU(BN(convolution))."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)
        self.norm = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class AggregationHead(nn.Module):
    """Pyramid pooling on stage 2, stage 1 and the pooled stem for detail, joined at 1/4; logits at the input's size."""

    def __init__(self, widths: tuple[int, int, int], channels: tuple[int, int], pyramid: int, classes: int) -> None:
        super().__init__()
        (stem, low, high), (c1, c2) = widths, channels
        self.pyramid = nn.ModuleList([Unit(high, pyramid, 1) for _ in PYRAMID_BINS])
        self.context = Unit(high + len(PYRAMID_BINS) * pyramid, c2, 1)
        self.detail = Unit(low + stem, c1, 3)
        self.fusion = Unit(c2 + c1, c2, 1)
        self.classifier = nn.Conv2d(c2, classes, 1)

    def forward(self, image: Tensor, stem: Tensor, stages: list[Tensor]) -> Tensor:
        low, high = stages
        pools = [
            resize(unit(pool(high, bins)), high.shape[2:]) for bins, unit in zip(PYRAMID_BINS, self.pyramid)
        ]
        context = self.context(torch.cat([high, *pools], 1))
        detail = self.detail(torch.cat([low, F.avg_pool2d(stem, 2)], 1))
        fusion = self.fusion(torch.cat([resize(context, low.shape[2:]), detail], 1))
        return resize(self.classifier(fusion), image.shape[2:])

    def load(self, tensors: Named) -> None:
        """Loads the weights of a network of Lathe."""
        units = {f"pyramid{bins}": unit for bins, unit in zip(PYRAMID_BINS, self.pyramid)}
        units |= {"context": self.context, "detail": self.detail, "fusion": self.fusion}
        for name, unit in units.items():
            unit.conv.weight.data.copy_(tensors[f"head/{name}/conv"])
            load_norm(unit.norm, tensors, f"head/{name}/norm")
        self.classifier.weight.data.copy_(tensors["head/classifier/conv"])
        self.classifier.bias.data.copy_(tensors["head/classifier/bias"])


def resize(x: Tensor, size: torch.Size) -> Tensor:
    """Bilinear, corners aligned."""
    return F.interpolate(x, size=[int(extent) for extent in size], mode="bilinear", align_corners=True)


def pool(x: Tensor, bins: int) -> Tensor:
    """Adaptive average pooling to bins x bins."""
    if bins == 1 or not torch.onnx.is_in_onnx_export():
        return F.adaptive_avg_pool2d(x, bins)
    # The exporter rejects bins that do not divide the extent, so pool by two products with constant matrices.
    height, width = (int(extent) for extent in x.shape[2:])
    return averages(height, bins) @ x @ averages(width, bins).T


def averages(extent: int, bins: int) -> Tensor:
    """Row i averages floor(i n / k) to ceil((i + 1) n / k), [bins, extent]."""
    rows = torch.zeros(bins, extent)
    for row in range(bins):
        first, last = row * extent // bins, math.ceil((row + 1) * extent / bins)
        rows[row, first:last] = 1 / (last - first)
    return rows


class Network(nn.Module):
    """The network of a genotype, with a head."""

    def __init__(self, genotype: dict, head: dict) -> None:
        super().__init__()
        width = declared = genotype["stemChannels"]
        self.stem = Reduction(3, width - 3)
        self.reductions, self.stages, widths = nn.ModuleList(), nn.ModuleList(), [width]
        for stage in genotype["stages"]:
            convolution = stage["channels"] - declared
            self.reductions.append(Reduction(width, convolution))
            width, declared = width + convolution, stage["channels"]
            blocks = nn.ModuleList()
            for block in stage["blocks"]:
                blocks.append(Block(width, block))
                width = block["outputWidth"]
            self.stages.append(blocks)
            widths.append(width)
        channels = tuple(stage["channels"] for stage in genotype["stages"])
        self.head = (
            SearchHead(width, genotype["classes"])
            if head["kind"] == "search"
            else AggregationHead(tuple(widths), channels, head["pyramidChannels"], genotype["classes"])
        )
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        x = stem = self.stem(image)
        outputs = []
        for reduction, blocks in zip(self.reductions, self.stages):
            x = reduction(x)
            for block in blocks:
                x = block(x)
            outputs.append(x)
        return self.head(image, stem, outputs)

    def load(self, tensors: Named) -> None:
        """Loads the weights and statistics of a network of Lathe."""
        self.stem.load(tensors, "stem")
        for s, (reduction, blocks) in enumerate(zip(self.reductions, self.stages), 1):
            reduction.load(tensors, f"stage{s}/reduction")
            for b, block in enumerate(blocks, 1):
                block.load(tensors, f"stage{s}/block{b}")
        self.head.load(tensors)

    def onnx(self, image: Tensor) -> bytes:
        """The network as ONNX by torch.onnx.export."""
        file = io.BytesIO()
        with warnings.catch_warnings():
            # The exporter warns that sizes become constants, which is intended.
            warnings.simplefilter("ignore")
            torch.onnx.export(self, image, file, opset_version=13, input_names=["image"], output_names=["logits"])
        return file.getvalue()
