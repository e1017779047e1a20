"""Unpacks Lathe and runs its verify:gpu on a machine that has a GPU and Python, but neither Node nor a network.

usage: python3 verify-gpu.py [--into FOLDER] [arguments of verify:gpu, such as --out FOLDER or --help]
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import io
import json
import os
import platform
import shutil
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
STAMP = "unpacked.json"

# What the CUDA provider loads, and what brings it.
LIBRARIES = {
    "libcublas.so.13": "python3 -m pip install nvidia-cublas",
    "libcublasLt.so.13": "python3 -m pip install nvidia-cublas",
    "libcudart.so.13": "python3 -m pip install nvidia-cuda-runtime",
    "libcudnn.so.9": "python3 -m pip install nvidia-cudnn-cu13",
    "libcurand.so.10": "python3 -m pip install nvidia-curand",
    "libcuda.so.1": "NVIDIA's driver, version 580 or newer",
}


class Refusal(Exception):
    """Faults, one a line."""


class Joined(io.RawIOBase):
    """The bytes of several files, one after another."""

    def __init__(self, paths: list[Path]) -> None:
        self.left = [path.open("rb") for path in paths]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while self.left:
            count = self.left[0].readinto(buffer)
            if count:
                return count
            self.left.pop(0).close()
        return 0


def main() -> None:
    """Replaces this process by verify:gpu; ends with exit code 2 and a line for each fault where it cannot."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--into", type=Path, default=HERE / "lathe")
    own, others = parser.parse_known_args()
    try:
        folder = own.into.resolve()
        unpack(described(), folder)
    except Refusal as refusal:
        for line in str(refusal).splitlines():
            say(line)
        sys.exit(2)
    libraries = [str(lib) for entry in sys.path for lib in sorted(Path(entry).glob("nvidia/*/lib"))]
    for name, mend in LIBRARIES.items():
        if not any(Path(lib, name).exists() for lib in libraries) and not loads(name):
            say(f"{name} is missing: {mend}")
    node = folder / "bin" / "node"
    command = [str(node), "--enable-source-maps", str(folder / "dist" / "bench" / "gpu" / "verify.js"), *others]
    # verify:gpu takes the python3 that runs this file as PyTorch's.
    path = [node.parent, Path(sys.executable).parent, os.environ.get("PATH", os.defpath)]
    environment = {"PATH": joined(path), "LD_LIBRARY_PATH": joined([*libraries, os.environ.get("LD_LIBRARY_PATH", "")])}
    sys.stderr.flush()
    os.execve(node, command, {**os.environ, **environment})


def say(line: str) -> None:
    """Prints a line that is about this machine, not a result."""
    print(f"verify-gpu: {line}", file=sys.stderr)


def joined(folders: list) -> str:
    """A search path without empty entries, which would be the working directory."""
    return os.pathsep.join(str(folder) for folder in folders if str(folder))


def loads(library: str) -> bool:
    """Whether the system finds a library and all that it needs."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def described() -> dict:
    """The parts of the pack and what is in them."""
    try:
        return json.loads((HERE / "verify-gpu.json").read_text())
    except (OSError, ValueError) as error:
        raise Refusal(f"verify-gpu.json beside this file cannot be read: {error}") from error


def unpack(pack: dict, folder: Path) -> None:
    """Fills the folder, which takes its place when it is complete; does nothing where it has this pack already."""
    stamp = folder / STAMP
    if folder.exists():
        if stamp.exists() and stamp.read_text() == json.dumps(pack):
            return
        raise Refusal(f"{folder} exists and is not this pack: remove it, or choose another folder by --into")
    paths = [HERE / part["name"] for part in pack["parts"]]
    faults = [*faults_of_machine(), *filter(None, map(fault_of_part, paths, pack["parts"]))]
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        needed, free = pack["unpackedBytes"] // 2**20 + 1, shutil.disk_usage(partial).free // 2**20
        if free < needed:
            faults.append(f"{needed} MiB are needed in {folder.parent}, and {free} MiB are free")
        if faults:
            raise Refusal("\n".join(faults))
        say(f"unpacks {needed} MiB into {folder}")
        extract(paths, partial)
        (partial / STAMP).write_text(json.dumps(pack))
        partial.rename(folder)
    except OSError as error:
        raise Refusal("\n".join([*faults, f"{folder} cannot be filled: {error}; another is taken by --into"])) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def faults_of_machine() -> list[str]:
    """What this machine must be or have."""
    faults = []
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        faults.append(f"the pack is for Linux on x86_64, and this is {platform.system()} on {platform.machine()}")
    try:
        import lzma  # noqa: F401, PLC0415 - a Python that was built without it still says the other faults
    except ImportError:
        faults.append(f"{sys.executable} was built without lzma, which unpacks the files: take another python3")
    return faults


def fault_of_part(path: Path, part: dict) -> str | None:
    """Why a part cannot be used."""
    if not path.exists():
        return f"{path.name} is missing in {path.parent}"
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    if digest.hexdigest() == part["sha256"]:
        return None
    return f"{path.name} is damaged: its sha256 is {digest.hexdigest()}, must be {part['sha256']}; copy it again"


def extract(paths: list[Path], folder: Path) -> None:
    """Unpacks the parts."""
    import lzma  # noqa: PLC0415

    # From Python 3.12 on, members that leave the folder are refused by this filter.
    filtered = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with lzma.open(io.BufferedReader(Joined(paths), 2**20)) as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
        archive.extractall(folder, **filtered)


if __name__ == "__main__":
    main()
