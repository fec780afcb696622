"""A run's state between two epochs, on disk: written completely or not at all, and without pickle.

A file is a SHA-256 digest and the safetensors document that it is of: tensors by name, and everything
else as JSON in the metadata. The file is written beside its place, synced and then renamed.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import safetensors.torch
from torch import Tensor

from ml_pipeline.training.tabular.world import ALONE, World

INTERVAL = 1.0  # seconds between two saves, so that small data is not slowed by the disk
DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Facts(TypedDict):
    """What a state has besides tensors."""

    history: Sequence[Mapping[str, Any]]  # the fields of `loop.Epoch`, of which one is an integer
    best: int  # the place in it of the best epoch


@dataclass(frozen=True)
class State:
    """What the next epoch starts from."""

    tensors: dict[str, Tensor]
    facts: Facts


class Checkpoints:
    """The one checkpoint in a folder. Only the run with the same key can continue from it.

    Machines that train together have a folder each, and continue from the newest checkpoint of all.
    """

    def __init__(self, folder: Path, world: World = ALONE) -> None:
        self._path = folder / "checkpoint.safetensors"
        self._world = world
        self._saved = float("-inf")

    def save(self, key: str, state: State) -> None:
        """Write the state, unless one was written less than INTERVAL seconds ago."""
        if not self._world.keeper or time.monotonic() - self._saved < INTERVAL:
            return
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
        packed = safetensors.torch.save(tensors, {"key": key, "facts": json.dumps(state.facts)})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".part")
        with beside.open("wb") as file:
            file.write(hashlib.sha256(packed).digest())
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # so that the rename outlives a power failure too
        finally:
            os.close(folder)
        self._saved = time.monotonic()

    def load(self, key: str) -> State | None:
        """Return the saved state, on the CPU, or None. If there is one that can't be used, print why.

        The newest state of several machines is the one with the longest history.
        """
        own = self._read(key)
        packed = self._world.newest(own, len(_facts(own)["history"]) if own else 0)
        return State(safetensors.torch.load(packed), _facts(packed)) if packed else None

    def clear(self) -> None:
        """Remove the checkpoint, after the end of its run."""
        if self._world.keeper:
            self._path.unlink(missing_ok=True)

    def _read(self, key: str) -> bytes:
        """Return this machine's own checkpoint, packed; b"" if there is none that can be used."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return b""
        digest, packed = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(packed).digest() != digest:
            print("the checkpoint is damaged: training starts from the beginning", flush=True)
            return b""
        if _metadata(packed)["key"] != key:
            print("the checkpoint is from another run: training starts from the beginning", flush=True)
            return b""
        return packed


def _metadata(packed: bytes) -> dict[str, str]:
    # The format: the header's length in eight bytes, and the header as JSON.
    header = json.loads(packed[8 : 8 + int.from_bytes(packed[:8], "little")])
    metadata: dict[str, str] = header["__metadata__"]
    return metadata


def _facts(packed: bytes) -> Facts:
    facts: Facts = json.loads(_metadata(packed)["facts"])
    return facts
