"""Training steps of the supernet in PyTorch. Each has its own optimizer; as in the reference, both compute all gradients if not said otherwise."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from relaxation import CostTable, finite
from supernet import StageChoices, Supernet, cost_ratio, regularization

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


@dataclass
class Mode:
    """How the steps are computed."""

    device: str = "cpu"
    precision: str = "float32"
    """float32, tf32 (the GPU rounds the factors of float32 products to 10 bits) or bfloat16 (autocast of network and loss)."""
    layout: str = "contiguous"
    """contiguous (NCHW) or channels_last (NHWC)."""
    compiled: bool = False
    frozen: bool = False
    """Each step computes only the gradients of the parameters that it moves."""

    def built(self) -> torch.device | nullcontext:
        """The context in which tensors are made on the device."""
        # On the CPU it would cost time, and PyTorch before 2.0 lacks it.
        return nullcontext() if self.device == "cpu" else torch.device(self.device)

    def apply(self) -> None:
        """Sets what holds for the whole process."""
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.precision == "tf32"
        # The shapes do not change, so the fastest convolutions are searched once.
        torch.backends.cudnn.benchmark = True

    def memory_format(self) -> torch.memory_format:
        """The layout of images and kernels."""
        return torch.channels_last if self.layout == "channels_last" else torch.contiguous_format

    def autocast(self) -> torch.autocast | nullcontext:
        """The context of the network and the loss."""
        return torch.autocast(self.device, dtype=torch.bfloat16) if self.precision == "bfloat16" else nullcontext()


class Training:
    """A supernet with its optimizers."""

    def __init__(self, supernet: Supernet, settings: Settings, mode: Mode) -> None:
        self.supernet, self.settings, self.mode = supernet, settings, mode
        self.supernet.to(memory_format=mode.memory_format())
        self.forward = torch.compile(self.relaxed) if mode.compiled else self.relaxed
        self.weights = torch.optim.Adam(
            supernet.weights(), settings.weight_rate, weight_decay=settings.weight_decay
        )
        self.alphas = torch.optim.Adam(
            supernet.architecture_parameters(), settings.alpha_rate, weight_decay=settings.alpha_decay
        )

    def relaxed(self, images: Tensor) -> tuple[Tensor, list[StageChoices]]:
        """Logits, and the choices that they follow from."""
        choices = self.supernet.relax()
        with self.mode.autocast():
            return self.supernet(images, choices), choices

    def placed(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """A batch on the device; on the CPU it stays where it is."""
        return images.to(self.mode.device, non_blocking=True), labels.to(self.mode.device, non_blocking=True)

    def entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Class-weighted cross entropy of logits [N, K, h, w] and labels [N, h, w]."""
        with self.mode.autocast():
            return F.cross_entropy(logits, labels, self.settings.class_weights, ignore_index=IGNORE)

    def begin(self, moved: torch.optim.Adam, other: torch.optim.Adam) -> None:
        """Clears the gradients before a step of one of the optimizers; with frozen, the parameters of the other have none."""
        # None instead of zeros, so that Adam skips pruned parameters.
        moved.zero_grad(set_to_none=True)
        if self.mode.frozen:
            other.zero_grad(set_to_none=True)
            for optimizer, has in ((moved, True), (other, False)):
                for group in optimizer.param_groups:
                    for parameter in group["params"]:
                        parameter.requires_grad_(has)

    def others(self, other: torch.optim.Adam) -> int:
        """Number of parameters of an optimizer that have a gradient."""
        return sum(parameter.grad is not None for group in other.param_groups for parameter in group["params"])

    def weight_step(self, images: Tensor, labels: Tensor) -> float:
        """Takes a weights step; returns the loss before it."""
        images, labels = self.placed(images, labels)
        self.begin(self.weights, self.alphas)
        loss = self.entropy(self.forward(images)[0], labels)
        loss.backward()
        self.weights.step()
        return finite(loss.item(), "the loss of the weights")

    def alpha_step(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        """Takes a step of the architecture parameters; returns the loss terms before it."""
        settings = self.settings
        images, labels = self.placed(images, labels)
        self.begin(self.alphas, self.weights)
        logits, choices = self.forward(images)
        entropy = self.entropy(logits, labels)
        ssr = regularization(self.supernet, choices, settings.ssr)
        miss = settings.cost_weight * (cost_ratio(self.supernet, choices, settings.table) - settings.table.target) ** 2
        (CROSS_ENTROPY_WEIGHT * entropy + settings.ssr_factor * ssr + miss).backward()
        torch.nn.utils.clip_grad_norm_(self.supernet.architecture_parameters(), MAX_NORM)
        self.alphas.step()
        return {"loss": finite(entropy.item(), "the loss of the alphas"), "ssr": ssr.item(), "cost": miss.item()}

    def evaluate(self, images: Tensor, labels: Tensor) -> Tensor:
        """Runs a forward pass with running statistics, loss and predictions."""
        with torch.no_grad():
            logits, _ = self.forward(images)
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
