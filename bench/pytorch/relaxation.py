"""Decision groups: architecture parameters, their probabilities, and the two loss terms that do not depend on images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GONE = -1e9
SMALLEST = 1e-38


class Groups(nn.Module):
    """Decision groups with the same number of candidates, one per row: parameters and surviving candidates."""

    def __init__(self, rows: int, candidates: int) -> None:
        super().__init__()
        self.alphas = nn.Parameter(torch.zeros(rows, candidates))
        self.keep = torch.ones(rows, candidates)
        self.live = torch.ones(rows)
        self.survivors = [list(range(candidates)) for _ in range(rows)]

    def assign(self, row: int, survivors: list[int], alphas: list[float]) -> None:
        """Sets the survivors and the parameters of a group."""
        self.live[row] = 1
        self.survivors[row] = survivors
        self.keep[row] = 0
        self.keep[row, survivors] = 1
        self.alphas.data[row, survivors] = torch.tensor(alphas, dtype=torch.float32).to(self.alphas)

    def probabilities(self) -> Tensor:
        """sigmoid(alpha) / sum of sigmoid(alpha) over survivors, [rows, candidates]; computed with logarithms, which stay finite."""
        gone = (1 - self.keep) * GONE
        return torch.softmax(F.logsigmoid(self.alphas) * self.keep + gone, -1)


def ssr(stacks: list[tuple[Groups, Tensor]]) -> Tensor:
    """Mean over live groups of (1/n) sum log p + log n."""
    total, count = torch.zeros(()), torch.zeros(())
    for groups, p in stacks:
        n = groups.keep.sum(-1)
        logs = torch.log(p.clamp_min(SMALLEST) * groups.keep + (1 - groups.keep))
        total = total + ((logs.sum(-1) / n + torch.log(n)) * groups.live).sum()
        # As a tensor, for which the CPU need not wait for a GPU.
        count = count + groups.live.sum()
    return total / count


@dataclass
class CostTable:
    """Costs of candidates as a * in * mid + b * mid * out + c, with the largest cost and the target."""

    fixed: float
    largest: float
    target: float
    stages: dict[str, tuple[Tensor, Tensor, Tensor]]
    """a, b and c of each stage's candidates."""

    @staticmethod
    def parse(table: dict, largest: float, target: float) -> CostTable:
        """Reads the JSON of a lathe.v1.CostTable, whose rows ("stage1/d1s1") are in the order of the candidates."""
        rows: dict[str, list[tuple[float, float, float]]] = {}
        for row in table["candidates"]:
            rows.setdefault(row["id"].split("/")[0], []).append((row["inMiddle"], row["middleOut"], row["fixed"]))
        stages = {name: tuple(torch.tensor(column, dtype=torch.float32) for column in zip(*stage)) for name, stage in rows.items()}
        return CostTable(table["fixed"], largest, target, stages)


def finite(value: float, what: str) -> float:
    """Returns the value; fails if it is not finite."""
    if not math.isfinite(value):
        raise ValueError(f"{what} is {value}")
    return value
