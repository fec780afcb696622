"""What the training stage reports in its outcome, as `details`.

The report and the tracker read these keys by the dataclasses of common/document.py, which also read what
older versions wrote.
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict


class BuiltInDetails(TypedDict, total=False):
    """What the built-in trainer reports; nothing where another process writes the model."""

    metrics: Mapping[str, float]
    weights: str  # SHA-256 of weights.safetensors
    onnx_difference: float  # the greatest one between the graph's and PyTorch's predictions
    unused: Sequence[str]  # columns that the model does not use


class SearchDetails(TypedDict):
    """A search and its trials."""

    metric: str
    mode: str  # min or max
    best: int  # a trial's number
    trials: Sequence[Mapping[str, object]]  # each a search.Trial


class Details(BuiltInDetails, total=False):
    """What the stage reports."""

    device: str  # cpu or cuda
    trainer: str  # command or built-in
    gpus: Sequence[str]  # names
    processes: int  # on all nodes, if there are several
    elsewhere: bool  # true: another node wrote the model
    search: SearchDetails
    wrote: Sequence[str]  # files in ML_OUTPUT
