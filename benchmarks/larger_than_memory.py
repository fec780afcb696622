"""Data larger than the memory that its check may take: 5 GB of Parquet and 1 GB of CSV, under 2 GB.

    make .venv-benchmarks && .venv-benchmarks/bin/python benchmarks/larger_than_memory.py    some minutes

Generated in pieces on the disk of the temporary folder (TMPDIR), and deleted afterwards, also when
interrupted. The data stage runs in a control group of its own, which the kernel ends when it takes more
than 2 GB, files that it reads included; where no group can be made, its own memory is watched instead.
`split` writes training rows, holdout and record, and `validate` checks schema, quality, leakage and drift
against that record.

The last line is one JSON object: GB on the disk, and the most GB that were the stage's own.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from made import people, rules

SOURCE = Path(__file__).resolve().parents[1] / "src"
GB = 1_000_000_000
LIMIT, PARQUET, CSV = 2 * GB, 5 * GB, 1 * GB
DISK = 2 * PARQUET + GB  # `split` writes it all once more
PIECE = 1_000_000  # rows
MORE = 20  # columns of numbers beside those of `people`
GROUPS = Path("/sys/fs/cgroup")


def measure() -> dict[str, float]:
    """Return sizes and peaks in GB; end the program where the disk is too small or the stage fails."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < DISK:
        there = tempfile.gettempdir()
        sys.exit(f"{there} has {free / GB:.1f} GB free, and {DISK / GB:.0f} are needed; set TMPDIR")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is generated is deleted then too
    figures: dict[str, float] = {}
    for suffix, size, commands in (
        ("parquet", PARQUET, ("split", "validate")),
        ("csv", CSV, ("split", "validate")),
    ):
        with tempfile.TemporaryDirectory(prefix="larger-than-memory-") as folder:
            figures[f"{suffix}_gb"] = round(generate(Path(folder), suffix, size) / GB, 2)
            print(f"{figures[f'{suffix}_gb']} GB of {suffix}, under {LIMIT / GB:.0f} GB of memory")
            peaks = [stage(Path(folder), command) for command in commands]
            figures[f"{suffix}_peak_gb"] = round(max(peaks) / GB, 2)
    return figures


def generate(folder: Path, suffix: str, size: int) -> int:
    """Write files into folder/data until they have `size` bytes; return how many they have."""
    (folder / "data").mkdir()
    random, base, total, pieces = np.random.default_rng(2), people(PIECE), 0, 0
    while total < size:
        numbers = {f"more{i}": random.normal(size=PIECE) for i in range(MORE)}
        numbers |= {f"number{i}": random.uniform(0, 100, PIECE) for i in range(9)}
        piece = base.with_columns(id=np.arange(pieces * PIECE, (pieces + 1) * PIECE), **numbers)
        path = folder / "data" / f"{pieces:03}.{suffix}"
        if suffix == "csv":
            piece.write_csv(path, float_precision=6)
        else:
            piece.write_parquet(path)
        total += path.stat().st_size
        pieces += 1
    return total


def stage(folder: Path, command: str) -> int:
    """Run one of the two programs; return the most bytes that were its own."""
    settings = {
        "path": "data", "target": "job0", "positive": None, "task": "classification", "seed": 0,
        "holdout": 0.2, "time": None, "exclude": [], "columns": rules(),
        "drift": {"alpha": 0.05, "threshold": 0.1, "effect": None, "action": "warn"},
        "leakage": {"score": 0.95, "shared": 0.05, "action": "warn"},
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    program = [sys.executable, "-m", f"ml_pipeline.data.{command}", "--config", "settings.json"]
    program += ["--data", ".", "--output", command]
    if command == "validate":
        program += ["--baseline-record", "split/record.json"]
    (folder / "tmp").mkdir(exist_ok=True)
    variables = os.environ | {"PYTHONPATH": str(SOURCE), "TMPDIR": str(folder / "tmp")}
    clock = time.monotonic()
    with limited() as join:
        code, peak = watched(program, variables, folder, join)
    print(f"  {command:10} {time.monotonic() - clock:6.0f} s   {peak / GB:5.2f} GB at most")
    if code or peak > LIMIT:
        sys.exit(f"{command} ended with {code}, having taken {peak / GB:.2f} GB")
    shutil.rmtree(folder / "tmp")
    return peak


def watched(program: Sequence[str], variables: Mapping[str, str], folder: Path, join: Any) -> tuple[int, int]:
    """Run a program; return its exit code and the most bytes that were its own."""
    peak = 0
    with subprocess.Popen(
        program,
        env=variables,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        preexec_fn=join,  # noqa: PLW1509 - one thread
    ) as process:
        try:
            while process.poll() is None:
                peak = max(peak, own_memory(process.pid))
                time.sleep(0.02)
        finally:
            process.kill()
    return process.returncode, peak


def own_memory(pid: int) -> int:
    """Bytes that are the process's own; the pages of files that it reads are the machine's to take back."""
    with contextlib.suppress(OSError):
        match = re.search(r"^RssAnon:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return int(match[1]) * 1024 if match else 0
    return 0


@contextlib.contextmanager
def limited() -> Iterator[Any]:
    """Give what a process calls to join a group with LIMIT of memory; None where none can be made."""
    is_one = (GROUPS / "cgroup.controllers").exists()  # v2
    group = GROUPS / ("" if is_one else "memory") / f"larger-than-memory-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.max" if is_one else "memory.limit_in_bytes")).write_text(str(LIMIT))
    except OSError as error:
        print(f"  no control group ({error}): the stage's own memory is watched instead")
        yield None
        return
    try:
        yield lambda: (group / "cgroup.procs").write_text(str(os.getpid()))
    finally:
        group.rmdir()


if __name__ == "__main__":
    print(json.dumps(measure()))
