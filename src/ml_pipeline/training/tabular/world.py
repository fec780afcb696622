"""The processes that train one network together, each on its share of every batch.

Every process has all rows and draws the same random numbers, so a run of any size takes the same
steps: of each batch a process computes its share, and the shares' gradients are added up. Rank 0's
figures decide, so that all go on, or stop, together. Nothing that is sent is a pickle.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

LOST = timedelta(minutes=5)  # without a sign of life, another process counts as lost


@dataclass(frozen=True)
class Share:
    """The rows of a batch that are one process's to compute."""

    mine: slice
    rows: int  # of the whole batch


@dataclass(frozen=True)
class World:
    """This process among all; alone, each method does nothing and costs nothing."""

    rank: int = 0
    size: int = 1
    keeper: bool = True  # keeps checkpoints: one process of each machine does

    def share(self, rows: int) -> Share:
        """Return this process's part of so many rows; parts differ by one row at most."""
        return Share(slice(rows * self.rank // self.size, rows * (self.rank + 1) // self.size), rows)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Let each tensor be its sum over all processes, in place and in one message; to the same bits."""
        if self.size == 1:
            return
        whole = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(whole)
        for tensor, part in zip(tensors, whole.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def agreed(self, *figures: float) -> tuple[float, ...]:
        """Return rank 0's figures: processors of two kinds may differ in the last bit."""
        if self.size == 1:
            return figures
        told = torch.tensor(figures, dtype=torch.float64)
        distributed.broadcast(told, 0)
        return tuple(told.tolist())

    def same_order(self, order: Tensor) -> Tensor:
        """Return rank 0's order: GPUs of two kinds draw different numbers."""
        if self.size > 1:
            distributed.broadcast(order, 0)
        return order

    def newest(self, content: bytes, age: int) -> bytes:
        """Return the content whose `age` is the greatest that any process has; of equals, the first's."""
        if self.size == 1:
            return content
        told = torch.zeros(self.size, 2, dtype=torch.int64)
        told[self.rank] = torch.tensor([age, len(content)])
        distributed.all_reduce(told)
        owner = int(told[:, 0].argmax())
        sent = torch.empty(int(told[owner, 1]), dtype=torch.uint8)
        if owner == self.rank and content:
            sent = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        if sent.numel():
            distributed.broadcast(sent, owner)
        return bytes(sent.numpy())

    def wait(self) -> None:
        """Return when all processes have come here."""
        self.add([torch.zeros(1)])


ALONE = World()


def lost(error: RuntimeError) -> bool:
    """Whether another process is gone; gloo has no class of its own for it."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


@contextlib.contextmanager
def joined(rank: int, local_rank: int, size: int, device: str) -> Iterator[World]:
    """Join the processes that torchrun's MASTER_ADDR and MASTER_PORT bring together."""
    if device == "cuda":
        torch.cuda.set_device(local_rank)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(backend, rank=rank, world_size=size, timeout=LOST)
    yield World(rank, size, keeper=local_rank == 0)
    distributed.destroy_process_group()  # after a failure the process ends, which nobody waits for
