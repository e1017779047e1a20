"""Training steps of the supernet in eager PyTorch; both steps compute all gradients and have their own optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from relaxation import CostTable, finite
from supernet import Supernet, cost_ratio, regularization

IGNORE = 255
CROSS_ENTROPY_WEIGHT = 100.0
MAX_NORM = 5.0


@dataclass
class Settings:
    """Constants of both steps."""

    weight_rate: float
    weight_decay: float
    alpha_rate: float
    alpha_decay: float
    ssr: dict[str, float]
    ssr_factor: float
    cost_weight: float
    table: CostTable
    class_weights: Tensor


class Training:
    """A supernet with its optimizers."""

    def __init__(self, supernet: Supernet, settings: Settings) -> None:
        self.supernet, self.settings = supernet, settings
        self.weights = torch.optim.Adam(
            supernet.weights(), settings.weight_rate, weight_decay=settings.weight_decay
        )
        self.alphas = torch.optim.Adam(
            supernet.architecture_parameters(), settings.alpha_rate, weight_decay=settings.alpha_decay
        )

    def entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Class-weighted cross entropy of logits [N, K, h, w] and labels [N, h, w]."""
        return F.cross_entropy(logits, labels, self.settings.class_weights, ignore_index=IGNORE)

    def weight_step(self, images: Tensor, labels: Tensor) -> float:
        """Takes a weights step; returns the loss before it."""
        # None instead of zeros, so that Adam skips pruned parameters.
        self.weights.zero_grad(set_to_none=True)
        loss = self.entropy(self.supernet(images, self.supernet.relax()), labels)
        loss.backward()
        self.weights.step()
        return finite(loss.item(), "the loss of the weights")

    def alpha_step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """Takes a step of the architecture parameters; returns the loss terms before it."""
        settings = self.settings
        self.alphas.zero_grad(set_to_none=True)
        choices = self.supernet.relax()
        entropy = self.entropy(self.supernet(images, choices), labels)
        ssr = regularization(self.supernet, choices, settings.ssr)
        miss = settings.cost_weight * (cost_ratio(self.supernet, choices, settings.table) - settings.table.target) ** 2
        (CROSS_ENTROPY_WEIGHT * entropy + settings.ssr_factor * ssr + miss).backward()
        torch.nn.utils.clip_grad_norm_(self.supernet.architecture_parameters(), MAX_NORM)
        self.alphas.step()
        return {"loss": finite(entropy.item(), "the loss of the alphas"), "ssr": ssr.item(), "cost": miss.item()}

    def evaluate(self, images: Tensor, labels: Tensor) -> Tensor:
        """Runs a forward pass with running statistics, loss and predictions."""
        with torch.no_grad():
            logits = self.supernet(images, self.supernet.relax())
            self.entropy(logits, labels)
            return logits.argmax(1)

    def epoch(self, images: Tensor, labels: Tensor, steps: int, alpha_steps: int, evaluations: int) -> float:
        """Runs an epoch on one repeated batch: alternating steps, then the validation pass. Returns the seconds."""
        started = perf_counter()
        for step in range(steps):
            self.weight_step(images, labels)
            if step < alpha_steps:
                self.alpha_step(images, labels)
        self.supernet.eval()
        for _ in range(evaluations):
            self.evaluate(images, labels)
        self.supernet.train()
        return perf_counter() - started
