"""The first process of a service's own mount and process namespaces. Run by processes.py, as

    unshare --mount --pid --fork --kill-child --mount-proc python isolate.py OPTIONS COMMAND…

When this process ends, the kernel kills all other processes in its namespace and removes its mounts, so
the service leaves nothing behind. In the folders of OPTIONS["private"] the service reads the machine's
files, but what it writes stays in memory. So programs with fixed paths (/var/lib/cni, /run/containerd,
/etc/resolv.conf) change nothing outside.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

CGROUPS = Path("/sys/fs/cgroup")


def main() -> int:
    options = json.loads(sys.argv[1])
    state = Path(options["state"])
    opened = os.open(state, os.O_PATH)
    scratch = state / "private"
    scratch.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(scratch))
    for folder in options["private"]:
        make_private(Path(folder), scratch / folder.strip("/").replace("/", "-"))
        if state.is_relative_to(folder):  # the state folder itself stays visible
            mount("--bind", f"/proc/self/fd/{opened}", str(state), keep=opened)
    os.close(opened)
    link = Path("/run/lab")
    link.unlink(missing_ok=True)
    link.symlink_to(state)
    if options.get("cgroup2") and not (CGROUPS / "cgroup.controllers").exists():
        if (CGROUPS / "unified").exists():
            subprocess.run(["umount", "-l", str(CGROUPS / "unified")], check=False)
        mount("-t", "cgroup2", "none", str(CGROUPS))
    for over, folder in options.get("over", {}).items():
        mount("-t", "overlay", "overlay", "-o", f"lowerdir={over}:{folder}", folder)
    for folder in options.get("hidden", []):
        mount("-t", "tmpfs", "-o", "ro,mode=755", "tmpfs", folder)
    return supervise(sys.argv[2:])


def mount(*words: str, keep: int | None = None) -> None:
    subprocess.run(["mount", "-n", *words], check=True, pass_fds=[] if keep is None else [keep])


def make_private(folder: Path, scratch: Path) -> None:
    """Lay a folder in memory over another: reads go through, writes stay in memory."""
    upper, work = scratch / "upper", scratch / "work"
    for made in (upper, work):
        made.mkdir(parents=True)
    shutil.copystat(folder, upper)
    # Older versions of iptables lock this file, so all programs of the machine must share it.
    lock = Path("/run/xtables.lock")
    shared = os.open(lock, os.O_PATH) if lock.is_relative_to(folder) and lock.exists() else None
    mount("-t", "overlay", "overlay", "-o", f"lowerdir={folder},upperdir={upper},workdir={work}", str(folder))
    if shared is not None:
        mount("--bind", f"/proc/self/fd/{shared}", str(lock), keep=shared)
        os.close(shared)


def supervise(command: list[str]) -> int:
    """Run a command, reap every orphan in the namespace, and return the command's exit code."""
    child = subprocess.Popen(command)

    def forward(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, forward)
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main() & 0xFF)
