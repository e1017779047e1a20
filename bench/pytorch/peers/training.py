"""Training of a peer by the recipe of Lathe's retraining: Adam, class-weighted cross entropy at the size of the input, one head."""

from __future__ import annotations

import copy
import io
import os
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers import PEERS
from relaxation import finite

IGNORE = 255


class Sized(nn.Module):
    """A peer with its logits enlarged to the size of the images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        size = [int(extent) for extent in images.shape[2:]]
        logits = self.network(images)
        if list(logits.shape[2:]) == size:
            return logits
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


class Classified(nn.Module):
    """The class of each pixel."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).argmax(1).to(torch.uint8)


def record_of(path: str) -> dict:
    """The record of a state that a training has saved."""
    return torch.load(path)["record"]


class PeerTraining:
    """A peer with its optimizer. Images are [N, 3, H, W] of 0 to 1."""

    def __init__(self, name: str, class_weights: list[float], decay: float, seed: int) -> None:
        torch.manual_seed(seed)
        self.network = Sized(PEERS[name](len(class_weights))).to(memory_format=torch.channels_last)
        self.class_weights = torch.tensor(class_weights, dtype=torch.float32)
        self.optimizer = torch.optim.Adam(self.network.parameters(), weight_decay=decay)
        self.best = self.network.state_dict()

    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def macs(self, height: int, width: int) -> int:
        """Multiply-accumulate operations of the convolutions for one image."""
        counted: list[int] = []

        def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            # Each weight meets each position of the smaller side.
            at = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
            counted.append(layer.weight.numel() * at.shape[2] * at.shape[3])

        layers = [layer for layer in self.network.modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]
        hooks = [layer.register_forward_hook(count) for layer in layers]
        self.predict(torch.zeros(1, 3, height, width))
        for hook in hooks:
            hook.remove()
        return sum(counted)

    def step(self, images: Tensor, labels: Tensor, rate: float) -> float:
        """Takes a step; returns the loss before it."""
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.network(images.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits, labels, self.class_weights, ignore_index=IGNORE)
        loss.backward()
        self.optimizer.step()
        return finite(loss.item(), "the loss")

    def predict(self, images: Tensor) -> Tensor:
        """Classes of each pixel, with running statistics, [N, H, W] uint8."""
        self.network.eval()
        with torch.no_grad():
            return Classified(self.network)(images.contiguous(memory_format=torch.channels_last))

    def keep(self) -> None:
        """Remembers the weights of now as the best."""
        self.best = copy.deepcopy(self.network.state_dict())

    def save(self, path: str, record: dict) -> None:
        """Writes the state of the training, with what the caller wants to know of it, so that a later process continues the same course."""
        state = {"network": self.network.state_dict(), "best": self.best, "optimizer": self.optimizer.state_dict()}
        # ERFNet's dropout draws from PyTorch's generator.
        torch.save({**state, "generator": torch.get_rng_state(), "record": record}, f"{path}.new")
        os.replace(f"{path}.new", path)

    def load(self, path: str) -> dict:
        """Takes up a state that `save` wrote; returns its record."""
        state = torch.load(path)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]
        torch.set_rng_state(state["generator"])
        return state["record"]

    def onnx(self, height: int, width: int) -> bytes:
        """The best weights as ONNX, from an image to its classes."""
        self.network.load_state_dict(self.best)
        self.network.eval()
        file = io.BytesIO()
        with warnings.catch_warnings():
            # The exporter warns that sizes become constants, which is intended.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                *(Classified(self.network), torch.zeros(1, 3, height, width), file),
                **{"opset_version": 13, "input_names": ["image"], "output_names": ["classes"]},
            )
        return file.getvalue()
