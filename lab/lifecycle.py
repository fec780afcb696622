"""Up and down: the order of steps, one lock, and nothing left behind."""

import contextlib
import fcntl
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from lab import cgroups, checks, engine, images, network, packages, paths, processes, tools
from lab.cluster import CONTROL_PLANE, ON_NODE, start_cluster
from lab.errors import LabError
from lab.paths import BIN, LINK, LOGS, STATE, TEMPORARY
from lab.steps import say


def environment() -> dict[str, str]:
    """Return the variables for clients; a shell expands PATH."""
    return {"PATH": f"{shlex.quote(str(BIN))}:$PATH", **engine.client_variables()}


def up(*, cluster: bool, gpu_recorder: bool = False) -> None:
    """Build what is missing and start what does not run. Raises LabError, which says what to do."""
    start = time.monotonic()
    built = tools.ENGINE.built and (tools.CLUSTER.built or not cluster)
    checks.rights()
    checks.programs(built=built)
    checks.path(STATE)
    os.chdir("/")  # services must not keep the caller's folder in use
    if other := processes.another_lab():
        raise LabError(f"another lab is up; end it first: LAB_STATE={shlex.quote(other)} python3 -m lab down")
    names = {process.service for process in processes.current()}
    if "engine" not in names:
        checks.disk(STATE, checks.free_bytes(STATE), built=built)
    for folder in (BIN, LOGS):
        folder.mkdir(parents=True, exist_ok=True)
    with _lock():
        _link()
        _empty_temporary()
        packages.install(packages.ENGINE + (packages.CLUSTER if cluster else []))
        tools.build(tools.ENGINE)
        if cluster:
            tools.build(tools.CLUSTER)
        tools.forget_sources()
        images.python()
        engine.start_registry()
        engine.start_engine(gpu_recorder=gpu_recorder)
        if cluster:
            start_cluster()
    say(f'up, in {time.monotonic() - start:.1f} s; for clients: eval "$(python3 -m lab env)"')


def down() -> None:
    """End every process of this lab and undo its changes to the machine; the state stays."""
    if os.geteuid() != 0:
        raise LabError("needs root, to end root's processes; run it as root")
    STATE.mkdir(parents=True, exist_ok=True)
    with _lock():
        # These have no data to save. Etcd, which has the cluster's data, is asked to end, like the engine.
        processes.stop([*ON_NODE, *CONTROL_PLANE], grace_s=0)
        processes.stop([process.service for process in processes.current()])
        # Rules and bridges have the same names in every lab: if another lab is up, they are in its use.
        if shutil.which("iptables-save") and shutil.which("ip") and not processes.another_lab():
            for each in (network.PODS, network.ENGINE):
                network.clean(each)
        cgroups.remove()
        _unmount()
        paths.ENGINE_SOCKET.unlink(missing_ok=True)
        if LINK.is_symlink() and LINK.readlink() == STATE:
            LINK.unlink()
        for folder in (TEMPORARY, STATE / "private"):
            shutil.rmtree(folder, ignore_errors=True)
    say("down")


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """Let only one `up` or `down` change this state; the kernel frees the lock when its holder ends."""
    with (STATE / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            say(f"another up or down is at work (pid {file.read().strip() or 'unknown'}); waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _link() -> None:
    """Link /run/lab to the state, for people; the engine has a /run and a link of its own."""
    if LINK.exists() and not LINK.is_symlink():
        raise LabError(f"{LINK} exists and is not a link; remove it")
    paths.link(STATE, LINK)


def _empty_temporary() -> None:
    """Delete what a killed `up` left unfinished, but no temporary folder of a running service."""
    names = {process.service for process in processes.current()}
    if TEMPORARY.exists():
        for folder in TEMPORARY.iterdir():
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)


def _unmount() -> None:
    """Unmount what an interrupted tool may have left mounted in the state."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        point = Path(line.split()[4])
        if point != STATE and point.is_relative_to(STATE):
            subprocess.run(["umount", "-l", str(point)], capture_output=True, check=False)
