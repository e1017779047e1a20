"""Networks that users take off the shelf, as published; only the head that is deployed, with the weights that PyTorch begins with. All give logits [N, K, h, w]."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from peers.bisenetv2 import BiSeNetV2
from peers.ddrnet import DDRNet
from peers.erfnet import ERFNet
from peers.pidnet import PIDNet

PEERS: dict[str, Callable[[int], nn.Module]] = {
    "ddrnet23slim": DDRNet,
    "pidnet_s": PIDNet,
    "bisenetv2": BiSeNetV2,
    "erfnet": ERFNet,
}
