"""Training in several processes, on one machine or on several: torchrun starts them, as `worker` each."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training.torchrun import FAILED, KILLED

RESTARTS = 3  # of all processes, after one was lost; on one machine a failure ends the training


class Lost(StageFailure):
    """The nodes lost each other: no fault of the training, which can go on when all are back."""

    def __init__(self, cause: str, hint: str) -> None:
        super().__init__(cause, hint, {"lost": True})


@dataclass(frozen=True)
class Nodes:
    """Machines that train together."""

    count: int
    rendezvous: str  # HOST:PORT where they meet; on the first node a name of its own
    run: str  # what they all call this training
    address: str  # of this one, where the others reach it


@dataclass(frozen=True)
class Job:
    """What each process is told."""

    settings: dict[str, Any]
    command: str | None  # None: the built-in trainer
    workdir: str
    variables: Mapping[str, str]


def run(job: Job, processes: int, nodes: Nodes | None, scratch: Path) -> dict[str, Any] | None:
    """Train in so many processes here; return rank 0's details, None where it is on another node.

    Raises `StageFailure`: the first failure that a process told, or what is known of a crash; `Lost`.
    """
    if importlib.util.find_spec("torch") is None:
        cause = "training in several processes needs torch, which is not installed"
        raise StageFailure(cause, "add it to the project's requirements")
    path = scratch / "job.json"
    path.write_text(json.dumps(asdict(job)))
    environment = {**variables(processes, nodes), **os.environ}
    code = subprocess.run(torchrun(processes, nodes, path), env=environment, check=False).returncode
    files = [scratch / f"worker-{local_rank}.json" for local_rank in range(processes)]
    told = [json.loads(file.read_text()) for file in files if file.exists()]
    if code == 0:
        return next((each["details"] for each in told if each["rank"] == 0), None)
    failures = sorted((each["at"], each["message"], each["hint"]) for each in told if "at" in each)
    if failures and code in {FAILED, KILLED}:
        _, message, hint = failures[0]
        raise StageFailure(message, hint)
    if code == KILLED:
        cause = f"a training process ran out of memory or was killed (exit {KILLED})"
        raise StageFailure(cause, "give it more memory, or train on less at once")
    if code == FAILED:
        raise StageFailure("a training process crashed", "its output is above")
    raise Lost(f"torchrun ended with exit code {code}", "its output is above")


def torchrun(processes: int, nodes: Nodes | None, job: Path) -> list[str]:
    """Return the command that starts the processes of this machine."""
    if nodes:
        where = ["--rdzv-backend=c10d", f"--rdzv-endpoint={nodes.rendezvous}", f"--rdzv-id={nodes.run}"]
        where += [f"--nnodes={nodes.count}", f"--local-addr={nodes.address}", f"--max-restarts={RESTARTS}"]
    else:
        where = ["--standalone", "--local-addr=localhost"]
    program = ["--module", "ml_pipeline.training.worker", str(job)]
    agent = [sys.executable, "-m", "ml_pipeline.training.torchrun"]
    return [*agent, *where, f"--nproc-per-node={processes}", *program]


def variables(processes: int, nodes: Nodes | None) -> dict[str, str]:
    """Return the variables that torchrun gets where they are not set."""
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    shared = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    shared["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # a lost connection is told by pages of addresses otherwise
    if not nodes:
        return {**shared, "GLOO_SOCKET_IFNAME": "lo"}  # a container may not know its own host name
    # Shared, the store's first address is kept for ever: a node that came back elsewhere is never found.
    return {**shared, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
