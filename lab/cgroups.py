"""The lab's part of the machine's cgroup tree: one folder, or one in each v1 hierarchy."""

import contextlib
import os
import time
from pathlib import Path

from lab.errors import LabError
from lab.paths import CGROUP

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io", "hugetlb")


def _hierarchies() -> list[Path]:
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [folder for folder in ROOT.iterdir() if (folder / "cgroup.procs").exists()]


def make() -> None:
    """Make the folder for kubelet's pods. Kubelet needs it to exist, with all controllers."""
    for hierarchy in _hierarchies():
        control = hierarchy / "cgroup.subtree_control"
        if control.exists():
            for controller in CONTROLLERS:
                with contextlib.suppress(OSError):  # the machine does not have this controller
                    control.write_text(f"+{controller}")
        (hierarchy / CGROUP).mkdir(exist_ok=True)


def remove() -> None:
    """Remove the folder and all folders in it. Nothing may run in it. Raises LabError if it stays."""
    deadline = time.monotonic() + 5
    for hierarchy in _hierarchies():
        while (hierarchy / CGROUP).exists():
            for folder, _, _ in os.walk(hierarchy / CGROUP, topdown=False):
                with contextlib.suppress(OSError):  # its last process is still ending
                    Path(folder).rmdir()
            if time.monotonic() > deadline:
                raise LabError(f"{hierarchy / CGROUP} can't be removed; see which processes are in it")
            time.sleep(0.02)
