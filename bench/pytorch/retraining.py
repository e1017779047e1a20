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
        with self.mode.autocast():
            loss = F.cross_entropy(self.forward(images), labels, self.class_weights, ignore_index=IGNORE)
        loss.backward()
        self.optimizer.step()
        return finite(loss.item(), "the loss")

    def evaluate(self, images: Tensor) -> Tensor:
        """Runs a forward pass with running statistics; returns the predictions."""
        self.network.eval()
        with torch.no_grad(), self.mode.autocast():
            return self.forward(images).argmax(1)
