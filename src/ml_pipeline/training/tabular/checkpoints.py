"""A run's state between two epochs, on disk: written whole or not at all, and no pickle.

A file is the SHA-256 of what follows, then safetensors: the tensors under their names, and
the rest as JSON in its metadata. It takes its place by a rename, after it was synced.
"""

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from ml_pipeline.training.tabular.world import ALONE, World

INTERVAL = 1.0  # seconds between two saves, so that small data is not slowed by the disk
DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class State:
    """What the next epoch starts from."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]  # of JSON's types


class Checkpoints:
    """The one checkpoint in a folder; the run that `key` names alone can go on from it.

    Machines that train together have a folder each, and go on from the newest that any of them has.
    """

    def __init__(self, folder: Path, world: World = ALONE) -> None:
        self._path = folder / "checkpoint.safetensors"
        self._world = world
        self._saved = float("-inf")

    def save(self, key: str, state: State) -> None:
        """Keep the state, unless the last one was kept a moment ago."""
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
        """Return the kept state, on the CPU; None, and a line that says why, where it is of no use.

        Its fact `history` has one entry for each epoch, by which machines find the newest.
        """
        own = self._read(key)
        packed = self._world.newest(own, len(_facts(own)["history"]) if own else 0)
        return State(safetensors.torch.load(packed), _facts(packed)) if packed else None

    def clear(self) -> None:
        """Remove it: the run has ended, and the next one starts from nothing."""
        if self._world.keeper:
            self._path.unlink(missing_ok=True)

    def _read(self, key: str) -> bytes:
        """Return this machine's own, packed; nothing where it is of no use."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return b""
        digest, packed = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(packed).digest() != digest:
            print("the checkpoint is torn, so training starts anew", flush=True)
            return b""
        if _metadata(packed)["key"] != key:
            print("the checkpoint is of another run, so training starts anew", flush=True)
            return b""
        return packed


def _metadata(packed: bytes) -> dict[str, str]:
    # The format: eight bytes that give the header's length, and the header, JSON.
    header = json.loads(packed[8 : 8 + int.from_bytes(packed[:8], "little")])
    kept: dict[str, str] = header["__metadata__"]
    return kept


def _facts(packed: bytes) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(_metadata(packed)["facts"])
    return facts
