"""Training of a discrete network in PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from discrete import Network
from relaxation import finite
from training import IGNORE, Mode


class Retraining:
    """A discrete network with its optimizer."""

    def __init__(self, network: Network, class_weights: Tensor, rates: tuple[float, float], mode: Mode) -> None:
        rate, decay = rates
        self.network, self.class_weights, self.mode = network, class_weights, mode
        network.to(memory_format=mode.memory_format())
        self.forward = torch.compile(network) if mode.compiled else network
        self.optimizer = torch.optim.Adam(network.parameters(), rate, weight_decay=decay)

    def step(self, images: Tensor, labels: Tensor) -> float:
        """Takes a step; returns the loss before it."""
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.entropy(images, labels)[0]
        loss.backward()
        self.optimizer.step()
        return finite(loss.item(), "the loss")

    def evaluate(self, images: Tensor, labels: Tensor) -> Tensor:
        """Runs a forward pass with running statistics, loss and predictions."""
        self.network.eval()
        with torch.no_grad():
            return self.entropy(images, labels)[1].argmax(1)

    def entropy(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Class-weighted cross entropy, and the logits [N, K, H, W] that it is of."""
        with self.mode.autocast():
            logits = self.forward(images)
            return F.cross_entropy(logits, labels, self.class_weights, ignore_index=IGNORE), logits
