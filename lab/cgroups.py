"""The lab's own place in the machine's cgroup tree: one folder, or one in each v1 hierarchy."""

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
    """Make the folder that kubelet puts its pods under; it wants it there with all controllers."""
    for hierarchy in _hierarchies():
        control = hierarchy / "cgroup.subtree_control"
        if control.exists():
            for controller in CONTROLLERS:
                with contextlib.suppress(OSError):  # the machine has no such controller
                    control.write_text(f"+{controller}")
        (hierarchy / CGROUP).mkdir(exist_ok=True)


def remove() -> None:
    """Remove the folder with all below; nothing runs in it any more. Raises LabError where that fails."""
    deadline = time.monotonic() + 5
    for hierarchy in _hierarchies():
        while (hierarchy / CGROUP).exists():
            for folder, _, _ in os.walk(hierarchy / CGROUP, topdown=False):
                with contextlib.suppress(OSError):  # its last process is still on its way out
                    Path(folder).rmdir()
            if time.monotonic() > deadline:
                raise LabError(f"{hierarchy / CGROUP} can't be removed; see which processes are in it")
            time.sleep(0.02)
