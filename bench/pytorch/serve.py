"""Answers requests, one JSON object a line on stdin, by one JSON object a line on stdout; ends with stdin."""

from __future__ import annotations

import json
import platform
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

try:
    import torch
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(3)

from discrete import Network
from gradients import gradients, views
from peers.training import PeerTraining, record_of
from relaxation import CostTable
from retraining import Retraining
from supernet import Supernet
from training import Mode, Settings, Training


T = TypeVar("T")


def floats(text: str) -> torch.Tensor:
    """A vector from the base64 of float32, little-endian."""
    return torch.frombuffer(bytearray(b64decode(text)), dtype=torch.float32)


def named(request: dict) -> dict[str, torch.Tensor]:
    """The tensors of a flat vector by its manifest."""
    return views(floats(request["values"]), request["entries"])


def encoded(values: torch.Tensor) -> str:
    """A vector as the base64 of its bytes, little-endian."""
    return b64encode(values.numpy().tobytes()).decode()


def timed(runs: int, action: Callable[[], T]) -> tuple[list[float], T | None]:
    """The milliseconds of each run, and the last answer."""
    ms, answer = [], None
    for _ in range(runs):
        started = perf_counter()
        answer = action()
        ms.append((perf_counter() - started) * 1e3)
    return ms, answer


class Session:
    """The networks that the requests of this process have built."""

    training: Training
    images: torch.Tensor
    labels: torch.Tensor
    network: Network
    retraining: Retraining
    peer: PeerTraining

    def init(self, request: dict) -> dict:
        """Builds a supernet with its optimizers, and a batch for its steps; loads weights if given. A mode may be given."""
        # The memory of a supernet before is free again.
        vars(self).clear()
        mode = Mode(**request.get("mode", {}))
        mode.apply()
        with mode.built():
            parameters = self.build_training(request, mode)
        self.images = self.images.contiguous(memory_format=mode.memory_format())
        if mode.device != "cpu":
            self.images, self.labels = self.images.pin_memory(), self.labels.pin_memory()
        return {"parameters": parameters}

    def build_training(self, request: dict, mode: Mode) -> int:
        """The training and its batch on the CPU; returns the number of weights."""
        space, batch, settings = request["space"], request["batchSize"], request["settings"]
        supernet = Supernet(space)
        supernet.assign(request["architecture"])
        if "weights" in request:
            supernet.load(named(request["weights"]))
        table = CostTable.parse(settings["table"], settings["largestCost"], settings["target"])
        self.training = Training(
            supernet,
            Settings(
                weight_rate=settings["weightRate"],
                weight_decay=settings["weightDecay"],
                alpha_rate=settings["alphaRate"],
                alpha_decay=settings["alphaDecay"],
                ssr=settings["ssr"],
                ssr_factor=settings["ssrFactor"],
                cost_weight=settings["costWeight"],
                table=table,
                class_weights=torch.tensor(settings["classWeights"], dtype=torch.float32),
            ),
            mode,
        )
        height, width, stride = space["inputHeight"], space["inputWidth"], request["labelStride"]
        cells = (batch, height // stride, width // stride)
        if "images" in request:
            self.images = floats(request["images"]).view(batch, 3, height, width)
            self.labels = torch.tensor(request["labels"], device="cpu").view(cells)
        else:
            self.images = torch.rand(batch, 3, height, width, device="cpu")
            self.labels = torch.randint(space["classes"], cells, device="cpu")
        return sum(parameter.numel() for parameter in supernet.weights())

    def assign(self, request: dict) -> dict:
        """Prunes all candidates that do not survive in an architecture."""
        self.training.supernet.assign(request["architecture"])
        return {}

    def pair(self, _request: dict) -> dict:
        """Runs a weights step and an alpha step; returns of each the milliseconds, the losses, and how many parameters that it does not move have a gradient."""
        training = self.training
        started = perf_counter()
        loss = training.weight_step(self.images, self.labels)
        between = perf_counter()
        weights = training.others(training.alphas)
        resumed = perf_counter()
        alpha = training.alpha_step(self.images, self.labels)
        ended = perf_counter()
        ms = {"weights": (between - started) * 1e3, "alpha": (ended - resumed) * 1e3}
        return {"ms": ms, "loss": loss, "alpha": alpha, "others": {"weights": weights, "alpha": training.others(training.weights)}}

    def epoch(self, request: dict) -> dict:
        """Runs the steps and the validation pass of an epoch; returns the seconds."""
        steps, alpha_steps, evaluations = (request[key] for key in ("steps", "alphaSteps", "evaluations"))
        return {"seconds": self.training.epoch(self.images, self.labels, steps, alpha_steps, evaluations)}

    def gradients(self, request: dict) -> dict:
        """Returns the gradients of a supernet's cross entropy, computed in a precision, as the base64 of float64."""
        space, dtype = request["space"], getattr(torch, request["precision"])
        # All tensors of the network take this type, also its masks and probabilities.
        torch.set_default_dtype(dtype)
        try:
            supernet = Supernet(space)
            supernet.assign(request["architecture"])
            supernet.load(named(request["weights"]))
            images = floats(request["images"]).view(-1, 3, space["inputHeight"], space["inputWidth"]).to(dtype)
            stride = request["labelStride"]
            labels = torch.tensor(request["labels"]).view(-1, space["inputHeight"] // stride, space["inputWidth"] // stride)
            batch = images, labels, torch.tensor(request["classWeights"], dtype=dtype)
            weights, alphas = gradients(supernet, request["weights"]["entries"], batch)
        finally:
            torch.set_default_dtype(torch.float32)
        return {"weights": encoded(weights.double()), "alphas": encoded(alphas.double())}

    def retrain(self, request: dict) -> dict:
        """Builds the network of a genotype with its optimizer, and a batch for its steps. A mode may be given."""
        mode = Mode(**request.get("mode", {}))
        mode.apply()
        genotype = request["genotype"]
        network = Network(genotype, request["head"])
        network.load(named(request["weights"]))
        classes = torch.tensor(request["classWeights"], dtype=torch.float32)
        self.retraining = Retraining(network, classes, (request["rate"], request["decay"]), mode)
        height, width = genotype["inputHeight"], genotype["inputWidth"]
        images = floats(request["images"]).view(-1, 3, height, width)
        self.images = images.contiguous(memory_format=mode.memory_format())
        self.labels = torch.tensor(request["labels"]).view(-1, height, width)
        return {}

    def train(self, request: dict) -> dict:
        """Runs training steps, then evaluations; returns the milliseconds of each, and the loss of the last step."""
        steps, loss = timed(request["steps"], lambda: self.retraining.step(self.images, self.labels))
        evaluations, _ = timed(request["evaluations"], lambda: self.retraining.evaluate(self.images))
        return {"steps": steps, "evaluations": evaluations, "loss": loss}

    def build(self, request: dict) -> dict:
        """Builds the network of a genotype with weights and statistics; returns its ONNX and its logits for an image."""
        genotype = request["genotype"]
        self.network = Network(genotype, request["head"])
        self.network.load(named(request["weights"]) | named(request["stats"]))
        self.images = floats(request["image"]).view(1, 3, genotype["inputHeight"], genotype["inputWidth"])
        with torch.no_grad():
            logits = self.network(self.images)
        return {"logits": encoded(logits), "onnx": b64encode(self.network.onnx(self.images)).decode()}

    def run(self, request: dict) -> dict:
        """Returns the milliseconds of each forward pass with a number of threads."""
        if torch.get_num_threads() != request["threads"]:
            torch.set_num_threads(request["threads"])
        with torch.no_grad():
            ms, _ = timed(request["runs"], lambda: self.network(self.images))
        return {"ms": ms}

    def begin_peer(self, request: dict) -> dict:
        """Builds a peer with its optimizer; returns its weights, and its MACs for an image of a size."""
        self.peer = PeerTraining(*(request[key] for key in ("name", "classWeights", "decay", "seed")))
        macs = self.peer.macs(request["height"], request["width"])
        return {"parameters": self.peer.parameters(), "macs": macs}

    def step_peer(self, request: dict) -> dict:
        """Takes a step of the peer on a batch; returns the loss."""
        images = floats(request["images"]).view(-1, 3, request["height"], request["width"])
        labels = torch.frombuffer(bytearray(b64decode(request["labels"])), dtype=torch.int32)
        labels = labels.view(-1, request["height"], request["width"]).long()
        return {"loss": self.peer.step(images, labels, request["rate"])}

    def predict_peer(self, request: dict) -> dict:
        """Returns the classes of each pixel of images as the base64 of bytes."""
        images = floats(request["images"]).view(-1, 3, request["height"], request["width"])
        return {"classes": encoded(self.peer.predict(images))}

    def keep_peer(self, _request: dict) -> dict:
        """Remembers the peer's weights as its best."""
        self.peer.keep()
        return {}

    def save_peer(self, request: dict) -> dict:
        """Writes the state of the peer's training with a record to a file."""
        self.peer.save(request["path"], request["record"])
        return {}

    def peer_record(self, request: dict) -> dict:
        """The record in such a file."""
        return {"record": record_of(request["path"])}

    def load_peer(self, request: dict) -> dict:
        """Takes up the state of such a file; returns its record."""
        return {"record": self.peer.load(request["path"])}

    def export_peer(self, request: dict) -> dict:
        """Returns the peer with its best weights as ONNX."""
        return {"onnx": b64encode(self.peer.onnx(request["height"], request["width"])).decode()}


def main() -> None:
    """Prints its versions, then answers requests until its input ends."""
    threads = int(sys.argv[1])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    session = Session()
    hello = {"torch": torch.__version__, "python": platform.python_version(), "cuda": torch.cuda.is_available()}
    print(json.dumps(hello), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(session, request["call"])(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller must hear of it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
