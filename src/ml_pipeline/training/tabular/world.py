"""The processes that train one network together, each on its share of every batch.

Every process has all rows and draws the same random numbers, so a run takes the same steps with any
number of processes: each process computes its share of a batch, and the shares' gradients are summed.
Rank 0's figures decide, so that all processes continue or stop together. Messages are tensors, not pickles.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

LOST = timedelta(minutes=5)  # a process that sends nothing for so long counts as lost


@dataclass(frozen=True)
class Share:
    """The rows of a batch that one process computes."""

    mine: slice
    rows: int  # of the whole batch


@dataclass(frozen=True)
class World:
    """This process and how many there are. With one process, each method does nothing and costs nothing."""

    rank: int = 0
    size: int = 1
    keeper: bool = True  # whether it writes checkpoints: one process of each machine does

    def share(self, rows: int) -> Share:
        """Return this process's part of a batch of `rows`; the parts' sizes differ by at most one row."""
        return Share(slice(rows * self.rank // self.size, rows * (self.rank + 1) // self.size), rows)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one message. All get the same bits."""
        if self.size == 1:
            return
        whole = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(whole)
        for tensor, part in zip(tensors, whole.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def agreed(self, *figures: float) -> tuple[float, ...]:
        """Return rank 0's figures; on another kind of processor the last bit may differ."""
        if self.size == 1:
            return figures
        shared = torch.tensor(figures, dtype=torch.float64)
        distributed.broadcast(shared, 0)
        return tuple(shared.tolist())

    def same_order(self, order: Tensor) -> Tensor:
        """Return rank 0's order; another kind of GPU draws different random numbers."""
        if self.size > 1:
            distributed.broadcast(order, 0)
        return order

    def newest(self, content: bytes, age: int) -> bytes:
        """Return the content with the greatest `age` of all processes, or the first of several such."""
        if self.size == 1:
            return content
        sizes = torch.zeros(self.size, 2, dtype=torch.int64)  # age and length, by rank
        sizes[self.rank] = torch.tensor([age, len(content)])
        distributed.all_reduce(sizes)
        owner = int(sizes[:, 0].argmax())
        sent = torch.empty(int(sizes[owner, 1]), dtype=torch.uint8)
        if owner == self.rank and content:
            sent = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        if sent.numel():
            distributed.broadcast(sent, owner)
        return bytes(sent.numpy())

    def wait(self) -> None:
        """Return when all processes have called this."""
        self.add([torch.zeros(1)])


ALONE = World()


def lost(error: RuntimeError) -> bool:
    """Return whether the error means that another process is lost. (gloo has no exception class for it.)"""
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


@contextlib.contextmanager
def joined(rank: int, local_rank: int, size: int, device: str) -> Iterator[World]:
    """Join the process group at torchrun's MASTER_ADDR and MASTER_PORT."""
    if device == "cuda":
        torch.cuda.set_device(local_rank)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(backend, rank=rank, world_size=size, timeout=LOST)
    yield World(rank, size, keeper=local_rank == 0)
    distributed.destroy_process_group()  # not after a failure: then the process just ends
