"""Starts, finds and ends the lab's processes.

There are no pid files: a process says in its environment which service of which lab it is.
So nothing is lost when `up` is killed just after it started one, and a pid that another
program got later is never mistaken for the lab's.
"""

import contextlib
import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError
from lab.paths import HERE, LOGS, STATE, TEMPORARY
from lab.steps import say, tail

SERVICE, OWNER, SETTINGS, PROGRAM = "LAB_SERVICE", "LAB_OWNER", "LAB_SETTINGS", "LAB_PROGRAM"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Service:
    """A long-running program of the lab.

    `isolation` (see isolate.py) gives it processes and mounts of its own, all of which end with it.
    `inside` names another service, in whose namespaces it runs. `programs` is a folder that it looks
    for programs in first. `version` changes when its files do.
    """

    name: str
    command: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    isolation: dict[str, object] | None = None
    inside: str | None = None
    programs: str = ""
    files: tuple[Path, ...] = ()
    version: str = ""

    @property
    def settings(self) -> str:
        """A digest of all that it was started with: another one means a restart."""
        parts = [self.command, self.env, self.isolation, self.programs, self.version]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
        for path in self.files:
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"


@dataclass(frozen=True)
class Process:
    """A running process that bears this lab's mark."""

    pid: int
    service: str
    settings: str
    program: str
    argv: tuple[str, ...]

    @property
    def main(self) -> bool:
        """Whether it is the service's own program, and neither a wrapper around it nor its child."""
        return self.argv[0] == self.program


def parse(pid: int, environ: bytes, cmdline: bytes, owner: str) -> Process | None:
    """Read a process from /proc's two files; None where it is not this lab's."""
    entries = environ.decode(errors="replace").split("\0")
    values = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    if SERVICE not in values or values.get(OWNER) != owner:
        return None
    argv = tuple(cmdline.decode(errors="replace").rstrip("\0").split("\0"))
    return Process(pid, values[SERVICE], values.get(SETTINGS, ""), values.get(PROGRAM, ""), argv)


def found() -> list[Process]:
    """List this lab's processes. One that ended but was not reaped has no environment, so is left out."""
    processes = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            process = parse(
                int(folder.name),
                (folder / "environ").read_bytes(),
                (folder / "cmdline").read_bytes(),
                str(STATE),
            )
        except OSError:  # it ended while we looked, or belongs to the kernel
            continue
        if process:
            processes.append(process)
    return processes


def another_lab() -> str | None:
    """Return the state of another lab that is up on this machine's network, if one is."""
    here = Path("/proc/self/ns/net").readlink()
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            owner = _variable((folder / "environ").read_bytes(), OWNER) if folder.name.isdecimal() else None
            if owner and owner != str(STATE) and (folder / "ns" / "net").readlink() == here:
                return owner
    return None


def _variable(environ: bytes, name: str) -> str | None:
    start = f"{name}=".encode()
    found = (entry for entry in environ.split(b"\0") if entry.startswith(start))
    return next((entry.removeprefix(start).decode(errors="replace") for entry in found), None)


def running(service: Service) -> list[Process]:
    """The service's own program and the wrappers around it, which name it; not what it started."""
    return [p for p in found() if p.service == service.name and p.program in p.argv]


def start(service: Service, cleanup: Callable[[], None] = lambda: None) -> bool:
    """Start a service unless it runs with these settings; tell whether it was started.

    `cleanup` runs between the end of an old instance and the start of the new one.
    """
    mine = running(service)
    if mine and all(process.settings == service.settings for process in mine):
        return False
    if mine:
        say(f"{service.name} restarts: its settings changed")
    stop([service.name])
    cleanup()
    temporary = TEMPORARY / service.name
    temporary.mkdir(parents=True, exist_ok=True)
    environment = os.environ | service.env
    environment |= {SERVICE: service.name, OWNER: str(STATE), SETTINGS: service.settings}
    environment[PROGRAM] = service.command[0]
    folders = [service.programs, os.environ["PATH"], SYSTEM_PATH]
    environment |= {"TMPDIR": str(temporary), "PATH": ":".join(filter(None, folders))}
    LOGS.mkdir(parents=True, exist_ok=True)
    if service.log.exists():
        service.log.replace(service.log.with_suffix(".log.1"))
    words = [*_wrapper(service), *service.command]
    # A process that outlives this one: no object here stands for it.
    os.posix_spawnp(
        words[0],
        words,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(service.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # which Python ignores
    )
    # For a moment after its exec a process shows no environment: who asks next must see it.
    deadline = time.monotonic() + 0.5
    while not running(service) and time.monotonic() < deadline:
        time.sleep(0.005)
    return True


def _wrapper(service: Service) -> list[str]:
    """The words before the service's own that put it into its namespaces."""
    if service.isolation is not None:
        namespaces = "unshare --mount --pid --fork --kill-child --mount-proc --propagation private"
        program = [_python(), "-I", str(HERE / "isolate.py")]
        return [*namespaces.split(), *program, json.dumps({"state": str(STATE)} | service.isolation)]
    if service.inside:
        return ["nsenter", "--target", str(_init_of(service.inside)), "--mount", "--pid"]
    return []


def _python() -> str:
    """The interpreter itself: a shim on PATH may want a home folder or a shell."""
    return str(Path(f"/proc/{os.getpid()}/exe").resolve())


def _init_of(name: str) -> int:
    """The first process of a service's namespace, which is pid 1 in there."""
    for process in found():
        if process.service == name:
            status = Path(f"/proc/{process.pid}/status").read_text()
            levels = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            if len(levels) > 1 and levels[-1] == "1":
                return process.pid
    raise LabError(f"{name} does not run; see {LOGS / (name + '.log')}")


def stop(names: Iterable[str], grace_s: float = 10) -> list[str]:
    """End services: ask each one's own program first, then kill whatever bears their mark.

    Returns the names of those that ran. Raises LabError where a process can't be killed.
    """
    wanted = set(names)
    mine = [process for process in found() if process.service in wanted]
    for process in mine:
        if process.main:  # a wrapper that ended at once would take it down unfinished
            _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    left = mine
    while any(process.main for process in left) and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [process for process in found() if process.service in wanted]
    deadline = time.monotonic() + 10
    while left:
        for process in left:
            _signal(process.pid, signal.SIGKILL)
        time.sleep(0.05)
        left = [p for p in found() if p.service in wanted]
        if time.monotonic() > deadline and left:
            raise LabError(f"pid {left[0].pid} ({left[0].service}) does not end; look at it with ps")
    return sorted({process.service for process in mine})


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until(what: str, ready: Callable[[], bool], service: Service, seconds: float = 90) -> None:
    """Wait for an answer of a service. Raises LabError when it ends first, or takes too long."""
    deadline = time.monotonic() + seconds
    pause = 0.05
    while not ready():
        if not running(service):
            cause = f"{what}: {service.name} ended at once"
        elif time.monotonic() > deadline:
            cause = f"{what} did not answer in {seconds:.0f} s"
        else:
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)
            continue
        raise LabError(f"{cause}; its log is {service.log}, which ends in:\n{tail(service.log, 8)}")
