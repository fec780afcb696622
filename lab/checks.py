"""Checks before `up` starts anything. Each failure is one line that says what to do."""

import errno
import os
import shutil
import socket
from pathlib import Path

from lab.errors import LabError

GB = 10**9
FIRST_UP_BYTES, LATER_UP_BYTES = 25 * GB, 3 * GB


NEEDED = {
    "apt-get": "use Debian or Ubuntu",
    "unshare": "install util-linux",
    "nsenter": "install util-linux",
    "setpriv": "install util-linux",
}


def rights() -> None:
    """Check that the user is root."""
    if os.geteuid() != 0:
        raise LabError("needs root, to make namespaces, mounts and bridges; run it as root")


def programs(*, built: bool) -> None:
    """Check for the programs that the lab cannot install. Go is needed only to build."""
    needed = NEEDED if built else {"go": "install Go 1.24 or later"} | NEEDED
    for program, advice in needed.items():
        if not shutil.which(program):
            raise LabError(f"{program} is not on PATH; {advice}")


def path(state: Path) -> None:
    """Check that sockets in the state's folder get paths of 107 bytes at most, the kernel's limit."""
    if len(str(state)) > 64:
        raise LabError(f"{state} is too long for a socket's path; set LAB_STATE to a shorter one")


def disk(state: Path, free: int, *, built: bool) -> None:
    """Check the free bytes on the state's disk. The first `up` needs more, because it builds everything."""
    need = LATER_UP_BYTES if built else FIRST_UP_BYTES
    if free < need:
        raise LabError(
            f"{free / GB:.1f} GB are free in {state}, and {'an' if built else 'a first'} up needs "
            f"{need / GB:.0f} GB; free some, or set LAB_STATE to a folder on another disk"
        )


def free_bytes(state: Path) -> int:
    """Return the free bytes on the disk where the state is or will be."""
    folder = next(each for each in (state, *state.parents) if each.exists())
    return shutil.disk_usage(folder).free


def port(number: int, service: str) -> None:
    """Check that a service that does not run yet can use its port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", number))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise LabError(
                f"port {number}, which {service} needs, is taken by {_owner(number)}, "
                "which is not part of this lab; end it and try again"
            ) from None


def _owner(number: int) -> str:
    """Return the name of the program that listens on a port of this machine."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and int(words[1].rsplit(":", 1)[1], 16) == number:
                inodes.add(f"socket:[{words[9]}]")
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                if any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                    return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
            except OSError:  # it ended in the meantime
                continue
    return "another program"
