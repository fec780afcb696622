"""One of several processes that train together. torchrun starts it with a job's file; see launch.py."""

import contextlib
import importlib
import io
import json
import os
import signal
import sys
import time
from pathlib import Path

from ml_pipeline.common import command_line
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.common.reading import read
from ml_pipeline.training import built_in
from ml_pipeline.training.command import run_command
from ml_pipeline.training.details import BuiltInDetails
from ml_pipeline.training.launch import Job, WorkerReport
from ml_pipeline.training.torchrun import end_with_parent


def main() -> None:
    """Do the job, and write this process's report beside the job's file."""
    end_with_parent()
    parser = command_line.parser("training.worker", __doc__)
    parser.add_argument("job", type=Path, help="JSON file with a job, see launch.py")
    path = parser.parse_args().job
    job = read(Job, json.loads(path.read_text()))
    rank, local_rank, size = (int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"))
    file = path.with_name(f"worker-{local_rank}.json")
    if not job.command and file.exists() and json.loads(file.read_text())["status"] == "failed":
        sys.exit(1)  # torchrun has restarted this process, which would fail again for the same reason
    _write(file, {"rank": rank, "status": "unfinished"})
    details: BuiltInDetails = {}
    try:
        if job.command:
            # torchrun ends its workers with SIGTERM, and the command must end with its worker.
            signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
            run_command(job.command, Path(job.workdir), dict(job.variables), job.settings.timeout)
        else:
            details = _built_in(job, rank, local_rank, size)
    except StageFailure as failure:
        reason: WorkerReport = {"message": failure.cause, "hint": failure.hint, "at": time.time()}
        _write(file, {"rank": rank, "status": "failed", **reason})
        sys.exit(1)
    _write(file, {"rank": rank, "status": "passed", "details": details})


def _built_in(job: Job, rank: int, local_rank: int, size: int) -> BuiltInDetails:
    world = importlib.import_module("ml_pipeline.training.tabular.world")
    quiet = contextlib.nullcontext() if rank == 0 else contextlib.redirect_stdout(io.StringIO())
    try:
        with world.joined(rank, local_rank, size, job.variables["ML_DEVICE"]) as joined, quiet:
            return built_in.train(job.settings, job.variables, joined)
    except RuntimeError as error:
        if not world.lost(error):
            raise
        print(f"rank {rank} lost another process: {one_line(error)}", file=sys.stderr)
        sys.exit(1)


def _write(path: Path, report: WorkerReport) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(report))
    part.replace(path)  # completely or not at all: a worker may be killed at any time


if __name__ == "__main__":
    main()
