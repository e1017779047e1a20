"""The supernet as in the reference implementation: every candidate is computed in full, and masks multiply feature maps."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from layers import Factorized, Named, Reduction, load_norm
from relaxation import CostTable, Groups, ssr


@dataclass
class BlockChoices:
    """Probabilities of a block's groups, and its expected masks by candidate, [1, C, 1, 1]."""

    operation: Tensor
    output: Tensor
    middle: Tensor
    output_masks: dict[int, Tensor]
    middle_masks: dict[int, Tensor]
    presence: Tensor


class Block(nn.Module):
    """ReLU(sum_o p_o * mask_o * (f_o(x) + x)) over the surviving candidates."""

    def __init__(self, channels: int, operations: list[tuple[int, int]], widths: list[int], dropout: float) -> None:
        super().__init__()
        self.operations = operations
        self.candidates = nn.ModuleList(
            [Factorized((channels, channels, channels), d, s, dropout) for d, s in operations]
        )
        self.masks = [(torch.arange(channels) < width).to(torch.get_default_dtype()).view(1, channels, 1, 1) for width in widths]
        self.operation = Groups(1, len(operations))
        self.output = Groups(len(operations), len(widths))
        self.middle = Groups(len(operations), len(widths))

    def relax(self) -> BlockChoices:
        """Probabilities and masks for the current parameters."""
        operation, output, middle = (g.probabilities() for g in (self.operation, self.output, self.middle))
        left = self.operation.survivors[0]
        outputs = {o: self.mask(self.output, output, o) for o in left}
        middles = {o: self.mask(self.middle, middle, o) for o in left}
        presence = sum(operation[0, o] * outputs[o] for o in left)
        return BlockChoices(operation, output, middle, outputs, middles, presence)

    def mask(self, groups: Groups, p: Tensor, row: int) -> Tensor:
        """sum_j p_j * m_j, m_j being 1 on the first w_j channels."""
        values = list(p[row])
        return sum(values[j] * self.masks[j] for j in groups.survivors[row])

    def forward(self, x: Tensor, choices: BlockChoices) -> Tensor:
        out = 0
        for o in choices.output_masks:
            y = self.candidates[o](x, choices.middle_masks[o]) + x
            out = out + choices.operation[0, o] * choices.output_masks[o] * y
        return F.relu(out)

    def load(self, tensors: Named, name: str) -> None:
        """Loads its weights; in Lathe the norms of one scale are concatenated."""
        placed: dict[int, int] = {}
        for (dilation, scale), candidate in zip(self.operations, self.candidates):
            own = f"{name}/d{dilation}s{scale}"
            candidate.conv1.weight.data.copy_(tensors[f"{own}/conv1"])
            candidate.conv2.weight.data.copy_(tensors[f"{own}/conv2"])
            channels = candidate.conv2.out_channels
            first = placed.get(scale, 0)
            rows = slice(first, first + channels)
            placed[scale] = first + channels
            load_norm(candidate.norm1, tensors, f"{name}/s{scale}/norm1", rows)
            load_norm(candidate.norm2, tensors, f"{name}/s{scale}/norm2", rows)


class Stage(nn.Module):
    """Reduction, search blocks, and the choice of the number of blocks."""

    def __init__(self, name: str, inputs: int, convolution: int, stage: dict, operations: list[tuple[int, int]]) -> None:
        super().__init__()
        self.name, self.channels, self.min_depth = name, stage["channels"], stage["minDepth"]
        self.widths = torch.tensor(stage["widths"], dtype=torch.float32)
        self.reduction = Reduction(inputs, convolution)
        self.blocks = nn.ModuleList(
            [
                Block(stage["channels"], operations, stage["widths"], stage.get("dropout", 0.0))
                for _ in range(stage["maxDepth"])
            ]
        )
        self.depth = Groups(1, stage["maxDepth"] - stage["minDepth"] + 1)

    def exits(self) -> dict[int, int]:
        """Surviving depth candidates by their number of blocks."""
        return {self.min_depth + candidate: candidate for candidate in self.depth.survivors[0]}

    def groups(self) -> list[Groups]:
        """All groups in the order of Lathe's architecture parameters."""
        return [self.depth, *(each for block in self.blocks for each in (block.operation, block.output, block.middle))]

    def live_blocks(self) -> list[Block]:
        """The blocks that a surviving exit reaches."""
        return list(self.blocks)[: max(self.exits())]


@dataclass
class StageChoices:
    """Probabilities of a stage's depths, choices of its blocks, and the expected presence of its channels."""

    depth: Tensor
    blocks: list[BlockChoices]
    presence: Tensor


class Supernet(nn.Module):
    """The whole network of a space of two stages; logits at the resolution of the second."""

    def __init__(self, space: dict) -> None:
        super().__init__()
        if len(space["stages"]) != 2:
            raise ValueError(f"the space has {len(space['stages'])} stages, must have 2 here")
        if space.get("pyramidChannels", 0) > 0:
            raise ValueError("the space has the aggregation head, must have the search head here")
        self.operations = [(d, s) for s in space["scales"] for d in space["dilations"]]
        inputs = space["stemChannels"]
        self.stem = Reduction(3, inputs - 3)
        stages = []
        for at, stage in enumerate(space["stages"]):
            stages.append(Stage(f"stage{at + 1}", inputs, stage["channels"] - inputs, stage, self.operations))
            inputs = stage["channels"]
        self.stages = nn.ModuleList(stages)
        self.head = nn.Conv2d(inputs, space["classes"], 1)

    def relax(self) -> list[StageChoices]:
        """All choices for the current parameters."""
        choices = []
        for stage in self.stages:
            depth = stage.depth.probabilities()
            blocks = [block.relax() for block in stage.live_blocks()]
            presence = sum(depth[0, at] * blocks[exit - 1].presence for exit, at in stage.exits().items())
            choices.append(StageChoices(depth, blocks, presence))
        return choices

    def forward(self, images: Tensor, choices: list[StageChoices]) -> Tensor:
        x, presence = self.stem(images), None
        for stage, chosen in zip(self.stages, choices):
            x = stage.reduction(x, presence)
            exits = stage.exits()
            out = 0
            for number, (block, choice) in enumerate(zip(stage.live_blocks(), chosen.blocks), 1):
                x = block(x, choice)
                if number in exits:
                    out = x if len(exits) == 1 else out + chosen.depth[0, exits[number]] * x
            x, presence = out, chosen.presence
        return self.head(x)

    def architecture_parameters(self) -> list[nn.Parameter]:
        """The parameters of the alpha step."""
        return [module.alphas for module in self.modules() if isinstance(module, Groups)]

    def weights(self) -> list[nn.Parameter]:
        """The parameters of the weights step."""
        alphas = {id(parameter) for parameter in self.architecture_parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in alphas]

    def assign(self, architecture: dict) -> None:
        """Prunes all candidates that do not survive in a lathe.v1.Architecture."""
        for module in self.modules():
            if isinstance(module, Groups):
                module.live.zero_()
        names = [f"d{d}s{s}" for d, s in self.operations]
        for group in architecture["groups"]:
            stage, block, operation, kind = re.fullmatch(
                r"stage(\d+)/(?:block(\d+)/)?(?:(d\d+s\d+)/)?(\w+)", group["id"]
            ).groups()
            owner = self.stages[int(stage) - 1]
            if block:
                owner = owner.blocks[int(block) - 1]
            row = names.index(operation) if operation else 0
            getattr(owner, kind).assign(row, group["survivors"], group["alphas"])

    def load(self, tensors: Named) -> None:
        """Loads the weights of Lathe's supernet by their names."""
        self.stem.load(tensors, "stem")
        for stage in self.stages:
            stage.reduction.load(tensors, f"{stage.name}/reduction")
            for number, block in enumerate(stage.blocks, 1):
                block.load(tensors, f"{stage.name}/block{number}")
        self.head.weight.data.copy_(tensors["head/conv"])
        self.head.bias.data.copy_(tensors["head/bias"])


def regularization(supernet: Supernet, choices: list[StageChoices], weights: dict[str, float]) -> Tensor:
    """Weighted sum of the mean SSR of each dimension."""
    stages = list(zip(supernet.stages, choices))
    blocks = [pair for stage, chosen in stages for pair in zip(stage.live_blocks(), chosen.blocks)]
    return (
        weights["depth"] * ssr([(stage.depth, chosen.depth) for stage, chosen in stages])
        + weights["operation"] * ssr([(block.operation, choice.operation) for block, choice in blocks])
        + weights["outputWidth"] * ssr([(block.output, choice.output) for block, choice in blocks])
        + weights["middleWidth"] * ssr([(block.middle, choice.middle) for block, choice in blocks])
    )


def cost_ratio(supernet: Supernet, choices: list[StageChoices], table: CostTable) -> Tensor:
    """Expected cost as a share of the cost of the largest network."""
    total, inputs, before = torch.tensor(float(table.fixed)), None, None
    for stage, chosen in zip(supernet.stages, choices):
        in_middle, middle_out, fixed = table.stages[stage.name]
        inputs = torch.tensor(float(stage.channels)) if before is None else inputs + stage.channels - before
        leaving = torch.zeros(())
        for number, choice in enumerate(chosen.blocks, 1):
            middle, output = choice.middle @ stage.widths, choice.output @ stage.widths
            costs = in_middle * inputs * middle + middle_out * middle * output + fixed
            reach = sum(chosen.depth[0, at] for exit, at in stage.exits().items() if exit >= number)
            total = total + reach * (choice.operation[0] * costs).sum()
            inputs = (choice.operation[0] * output).sum()
            if number in stage.exits():
                leaving = leaving + chosen.depth[0, stage.exits()[number]] * inputs
        inputs, before = leaving, stage.channels
    return total / table.largest
