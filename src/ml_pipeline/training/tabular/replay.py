"""Repeats the same work on a GPU with a single launch.

A step of a small network is about a hundred operations of a few microseconds each. The CPU needs longer to
launch one than the GPU to run it. A CUDA graph records them and launches them all at once.
"""

from collections.abc import Callable

import torch

WARM_UP = 3  # runs before the recording: libraries initialise themselves and choose their algorithms


class Replay:
    """Work that never waits for the GPU, and reads and writes the same tensors each time."""

    def __init__(self) -> None:
        self._done = 0
        self._stream = torch.cuda.Stream()
        self._graph: torch.cuda.CUDAGraph | None = None

    def do(self, work: Callable[[], object]) -> None:
        """Do the work once. Each call must pass the same work. Random numbers are as without recording."""
        if self._done < WARM_UP:
            self._done += 1
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                work()
            torch.cuda.current_stream().wait_stream(self._stream)
            return
        if self._graph is None:
            graph = torch.cuda.CUDAGraph()
            # Records this thread only: NCCL's watchdog thread may query its events meanwhile.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                work()  # recorded, not executed
            self._graph = graph
        self._graph.replay()
