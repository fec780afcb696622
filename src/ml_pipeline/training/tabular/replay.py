"""The same work on a GPU again and again, launched as one.

A step of a small network is a hundred operations of microseconds, each of which takes the processor longer
to launch than the GPU to do. Recorded as a CUDA graph they are launched at once.
"""

from collections.abc import Callable

import torch

WARM_UP = 3  # times as it is: libraries set themselves up, and choose how they compute


class Replay:
    """Work that waits for nothing, and reads and writes the same tensors each time."""

    def __init__(self) -> None:
        self._done = 0
        self._stream = torch.cuda.Stream()
        self._graph: torch.cuda.CUDAGraph | None = None

    def do(self, work: Callable[[], object]) -> None:
        """Do the work once, the same in each call; random numbers go on as if nothing had been recorded."""
        if self._done < WARM_UP:
            self._done += 1
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                work()
            torch.cuda.current_stream().wait_stream(self._stream)
            return
        if self._graph is None:
            graph = torch.cuda.CUDAGraph()
            # Of this thread alone: NCCL's watchdog may look after its own events meanwhile.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                work()  # is recorded, and not done
            self._graph = graph
        self._graph.replay()
