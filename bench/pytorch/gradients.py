"""Gradients of the supernet's cross entropy in a precision of choice; float64 is the oracle of the others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from layers import Named
from supernet import Supernet
from training import IGNORE


def gradients(
    supernet: Supernet, manifest: list[dict], batch: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Flat gradients by the weights, in the order of Lathe's vector, and by the architecture parameters; batch: images, labels, class weights."""
    images, labels, class_weights = batch
    supernet.zero_grad(set_to_none=True)
    F.cross_entropy(supernet(images, supernet.relax()), labels, class_weights, ignore_index=IGNORE).backward()
    parameters = supernet.weights()
    values = [parameter.data.clone() for parameter in parameters]
    # Loaded into the network, the indices of a flat vector show where it places each element.
    size = sum(parameter.numel() for parameter in parameters)
    supernet.load(views(torch.arange(size, dtype=torch.float64), manifest))
    flat = torch.zeros(size)
    for parameter, value in zip(parameters, values):
        flat[parameter.data.flatten().long()] = parameter.grad.flatten()
        parameter.data.copy_(value)
    alphas = [groups.alphas for stage in supernet.stages for groups in stage.groups()]
    # The loss does not depend on a decided group.
    return flat, torch.cat([(torch.zeros_like(a) if a.grad is None else a.grad).flatten() for a in alphas])


def views(flat: Tensor, manifest: list[dict]) -> Named:
    """The tensors of a flat vector by its manifest."""
    return {
        entry["name"]: flat[entry["offset"] :][: int(torch.Size(entry["shape"]).numel())].view(entry["shape"])
        for entry in manifest
    }
