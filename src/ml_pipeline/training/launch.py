"""Trains in several processes, on one machine or on several. torchrun starts them; each runs `worker`."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypedDict

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training.details import BuiltInDetails
from ml_pipeline.training.settings import Settings
from ml_pipeline.training.torchrun import FAILED, KILLED

RESTARTS = 3  # of all processes, if one is lost; with one machine there are none


class Lost(StageFailure):
    """The nodes lost each other. The training did not fail, and can continue when all are back."""

    def __init__(self, cause: str, hint: str) -> None:
        super().__init__(cause, hint, {"lost": True})


@dataclass(frozen=True)
class Nodes:
    """Machines that train together."""

    count: int
    rendezvous: str  # HOST:PORT where they meet, on the first node
    run: str  # the name of this training, the same on all
    address: str  # of this machine, for the others


@dataclass(frozen=True)
class Job:
    """What each process does; `worker` reads it as JSON."""

    settings: Settings
    command: str | None  # None: the built-in trainer
    workdir: str
    variables: Mapping[str, str]


class WorkerReport(TypedDict, total=False):
    """What a process reports of its work, as JSON in worker-LOCAL_RANK.json beside the job's file."""

    rank: int
    status: Literal["unfinished", "passed", "failed"]
    details: BuiltInDetails  # of one that passed
    message: str  # of one that failed
    hint: str
    at: float  # when it failed, seconds since the epoch


def run(job: Job, processes: int, nodes: Nodes | None, scratch: Path) -> BuiltInDetails | None:
    """Train in `processes` processes on this machine; return rank 0's details, or None if it is elsewhere.

    Raises StageFailure with the first failure that a process reported, or with the kind of crash; Lost.
    """
    if importlib.util.find_spec("torch") is None:
        cause = "training in several processes needs torch, which is not installed"
        raise StageFailure(cause, "add torch to the project's requirements")
    path = scratch / "job.json"
    path.write_text(json.dumps(asdict(job)))
    environment = {**variables(processes, nodes), **os.environ}
    code = subprocess.run(torchrun(processes, nodes, path), env=environment, check=False).returncode
    files = [scratch / f"worker-{local_rank}.json" for local_rank in range(processes)]
    reports: list[WorkerReport] = [json.loads(file.read_text()) for file in files if file.exists()]
    if code == 0:
        return next((report["details"] for report in reports if report["rank"] == 0), None)
    failures = sorted(
        (report["at"], report["message"], report["hint"]) for report in reports if "at" in report
    )
    if failures and code in {FAILED, KILLED}:
        _, message, hint = failures[0]
        raise StageFailure(message, hint)
    if code == KILLED:
        cause = f"a training process ran out of memory or was killed (exit {KILLED})"
        raise StageFailure(cause, "give the training more memory, or use smaller batches")
    if code == FAILED:
        raise StageFailure("a training process crashed", "its output is above")
    raise Lost(f"torchrun exited with code {code}", "its output is above")


def torchrun(processes: int, nodes: Nodes | None, job: Path) -> list[str]:
    """Return the command that starts the processes of this machine."""
    if nodes:
        place = ["--rdzv-backend=c10d", f"--rdzv-endpoint={nodes.rendezvous}", f"--rdzv-id={nodes.run}"]
        place += [f"--nnodes={nodes.count}", f"--local-addr={nodes.address}", f"--max-restarts={RESTARTS}"]
    else:
        place = ["--standalone", "--local-addr=localhost"]
    program = ["--module", "ml_pipeline.training.worker", str(job)]
    agent = [sys.executable, "-m", "ml_pipeline.training.torchrun"]
    return [*agent, *place, f"--nproc-per-node={processes}", *program]


def variables(processes: int, nodes: Nodes | None) -> dict[str, str]:
    """Return the default values of torchrun's environment variables."""
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    shared = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    shared["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # otherwise a lost connection prints pages of addresses
    if not nodes:
        return {
            **shared,
            "GLOO_SOCKET_IFNAME": "lo",
        }  # a container may not be able to resolve its own host name
    # A shared store keeps its first address for ever, so a node that restarts elsewhere could not rejoin.
    return {**shared, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
