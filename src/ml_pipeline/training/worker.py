"""One of several processes that train together, started by torchrun with a job's file; see launch.py."""

import contextlib
import importlib
import io
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training import built_in
from ml_pipeline.training.command import run_command
from ml_pipeline.training.torchrun import end_with_parent


def main() -> None:
    end_with_parent()
    path = Path(sys.argv[1])
    job = json.loads(path.read_text())
    rank, local_rank, size = (int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"))
    said = path.with_name(f"worker-{local_rank}.json")
    if not job["command"] and said.exists() and json.loads(said.read_text())["status"] == "failed":
        sys.exit(1)  # restarted after it said what it can't do: it would say the same
    outcome: dict[str, Any] = {"rank": rank, "status": "unfinished"}
    _write(said, outcome)
    try:
        if job["command"]:
            # torchrun ends its workers by this, and a command must not outlive its worker.
            signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
            run_command(
                job["command"], Path(job["workdir"]), job["variables"], job["settings"].get("timeout")
            )
            details: dict[str, Any] = {}
        else:
            details = _built_in(job, rank, local_rank, size)
    except StageFailure as failure:
        told = {"message": failure.cause, "hint": failure.hint, "at": time.time()}
        _write(said, outcome | told | {"status": "failed"})
        sys.exit(1)
    _write(said, outcome | {"status": "passed", "details": details})


def _built_in(job: dict[str, Any], rank: int, local_rank: int, size: int) -> dict[str, Any]:
    world = importlib.import_module("ml_pipeline.training.tabular.world")
    unheard = contextlib.nullcontext() if rank == 0 else contextlib.redirect_stdout(io.StringIO())
    try:
        with world.joined(rank, local_rank, size, job["variables"]["ML_DEVICE"]) as joined, unheard:
            return built_in.train(job["settings"], job["variables"], joined)
    except RuntimeError as error:
        if not world.lost(error):
            raise
        print(f"rank {rank} lost another process: {one_line(error)}", file=sys.stderr)
        sys.exit(1)


def _write(path: Path, document: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document))
    part.replace(path)  # whole or not at all: a worker may be killed at any time


if __name__ == "__main__":
    main()
