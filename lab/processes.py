"""Starts, finds and ends the lab's processes.

There are no pid files. The environment of a process says which service of which lab it is. So no process is
lost if `up` is killed just after it started one, and another program that gets its pid later is never
mistaken for it.
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

    `isolation` (see isolate.py) gives it namespaces of its own for processes and mounts, which end with it.
    `inside` names another service: this one runs in its namespaces. `programs` is a folder that is first on
    its PATH. `version` changes when its program does.
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
        """Return a digest of all that it is started with. If it changes, the service restarts."""
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
    """A running process of this lab."""

    pid: int
    service: str
    settings: str
    program: str
    argv: tuple[str, ...]

    @property
    def main(self) -> bool:
        """Return whether it is the service's own program, neither a wrapper around it nor its child."""
        return self.argv[0] == self.program


def parse(pid: int, environ: bytes, cmdline: bytes, owner: str) -> Process | None:
    """Read a process from /proc's two files; None where it is not this lab's."""
    entries = environ.decode(errors="replace").split("\0")
    values = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    if SERVICE not in values or values.get(OWNER) != owner:
        return None
    argv = tuple(cmdline.decode(errors="replace").rstrip("\0").split("\0"))
    return Process(pid, values[SERVICE], values.get(SETTINGS, ""), values.get(PROGRAM, ""), argv)


def current() -> list[Process]:
    """Return this lab's processes, without zombies, which have no environment."""
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
        except OSError:  # it ended in the meantime, or belongs to the kernel
            continue
        if process:
            processes.append(process)
    return processes


def another_lab() -> str | None:
    """Return the state folder of another lab that is up on this machine's network, or None."""
    here = Path("/proc/self/ns/net").readlink()
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            owner = _variable((folder / "environ").read_bytes(), OWNER) if folder.name.isdecimal() else None
            if owner and owner != str(STATE) and (folder / "ns" / "net").readlink() == here:
                return owner
    return None


def _variable(environ: bytes, name: str) -> str | None:
    start = f"{name}=".encode()
    entries = (entry for entry in environ.split(b"\0") if entry.startswith(start))
    return next((entry.removeprefix(start).decode(errors="replace") for entry in entries), None)


def running(service: Service) -> list[Process]:
    """Return the processes of the service's program and of the wrappers around it, but no children."""
    return [p for p in current() if p.service == service.name and p.program in p.argv]


def start(service: Service, cleanup: Callable[[], None] = lambda: None) -> bool:
    """Start a service unless it runs with these settings; return whether it was started.

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
    # The process outlives this one, so there is no object for it.
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
    # For a moment after exec a process has no environment. Wait until the next caller can see it.
    deadline = time.monotonic() + 0.5
    while not running(service) and time.monotonic() < deadline:
        time.sleep(0.005)
    return True


def _wrapper(service: Service) -> list[str]:
    """Return the command that starts the service's command in its namespaces."""
    if service.isolation is not None:
        namespaces = "unshare --mount --pid --fork --kill-child --mount-proc --propagation private"
        program = [_python(), "-I", str(HERE / "isolate.py")]
        return [*namespaces.split(), *program, json.dumps({"state": str(STATE)} | service.isolation)]
    if service.inside:
        return ["nsenter", "--target", str(_init_of(service.inside)), "--mount", "--pid"]
    return []


def _python() -> str:
    """Return the interpreter's own path: a shim on PATH may need a home folder or a shell."""
    return str(Path(f"/proc/{os.getpid()}/exe").resolve())


def _init_of(name: str) -> int:
    """Return the process that is pid 1 in a service's namespace."""
    for process in current():
        if process.service == name:
            status = Path(f"/proc/{process.pid}/status").read_text()
            levels = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            if len(levels) > 1 and levels[-1] == "1":
                return process.pid
    raise LabError(f"{name} does not run; see {LOGS / (name + '.log')}")


def stop(names: Iterable[str], grace_s: float = 10) -> list[str]:
    """End services: ask each one's own program first, then kill all their processes.

    Returns the names of those that ran. Raises LabError if a process can't be killed.
    """
    services = set(names)
    mine = [process for process in current() if process.service in services]
    for process in mine:
        if process.main:  # a wrapper that ends would kill it at once
            _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    left = mine
    while any(process.main for process in left) and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [process for process in current() if process.service in services]
    deadline = time.monotonic() + 10
    while left:
        for process in left:
            _signal(process.pid, signal.SIGKILL)
        time.sleep(0.05)
        left = [p for p in current() if p.service in services]
        if time.monotonic() > deadline and left:
            raise LabError(f"pid {left[0].pid} ({left[0].service}) can't be killed; look at it with ps")
    return sorted({process.service for process in mine})


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until(what: str, ready: Callable[[], bool], service: Service, seconds: float = 90) -> None:
    """Wait until a service is ready. Raises LabError if it ends first or takes too long."""
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
