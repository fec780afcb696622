"""A machine for a test: a network and a /run of its own, where a second lab can start and end.

It shares the first lab's programs and images by hard links, so nothing is built. It does not touch the first
lab, which may be up at the same time.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lab import paths, tools

REPOSITORY = Path(__file__).resolve().parents[2]
BUILT = ("bin", "built", "crds", "layouts", "contents")
# An API server needs a default route. Nothing answers there, and no test needs an answer.
SETUP = """
set -e
ip link set lo up
ip link add eth0 type veth peer name eth1
ip link set eth1 up
ip address add 192.0.2.2/24 dev eth0
ip link set eth0 up
ip route add default via 192.0.2.1
mount -n -t tmpfs tmpfs /run
mkdir /run/cgroup
mount -n --rbind /sys/fs/cgroup /run/cgroup
mount -n -t sysfs sysfs /sys  # which shows this network's links, and whose the engine reads
mount -n --rbind /run/cgroup /sys/fs/cgroup
umount -n -l /run/cgroup
rmdir /run/cgroup
echo nameserver 127.0.0.1 > /run/resolv.conf  # where nothing answers: better no, at once, than a wait
mount -n --bind /run/resolv.conf /etc/resolv.conf
echo ready
exec sleep infinity
"""


class Machine:
    """Runs commands in namespaces of its own; `state` is the second lab's."""

    def __init__(self) -> None:
        assert os.geteuid() == 0, "needs root, as the lab does"
        assert tools.ENGINE.built, "needs a lab that is built; run python3 -m lab up --cluster"
        assert tools.CLUSTER.built, "needs a lab with a cluster; run python3 -m lab up --cluster"
        self.state = paths.STATE / "test"
        self._end_all()
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir()
        for name in BUILT:
            subprocess.run(["cp", "-al", paths.STATE / name, self.state / name], check=True)
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "sh", "-c", SETUP],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout
        assert self._holder.stdout.readline() == "ready\n"

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.state / 'bin'}:{os.environ['PATH']}:/usr/sbin:/sbin"
        return os.environ | {
            "PATH": path,
            "LAB_STATE": str(self.state),
            "KUBECONFIG": str(self.state / "kubeconfig"),
            "KUBECACHEDIR": str(self.state / "client" / "kube"),
            "XDG_STATE_HOME": str(self.state / "client" / "state"),
            "_EXPERIMENTAL_DAGGER_RUNNER_HOST": f"unix://{self.state}/engine.sock",
            "DO_NOT_TRACK": "1",
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command on the machine, its output in pipes."""
        enter = ["nsenter", "--target", str(self._holder.pid), "--net", "--mount"]
        # Only the lab's own commands start in the repository: dagger would load its module.
        folder = str(REPOSITORY) if "lab" in words else "/"
        return subprocess.Popen(
            [*enter, "sh", "-c", 'cd "$0" && exec "$@"', folder, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def run(self, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine to its end, whatever its exit code."""
        with self.start(*words) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def ask(self, *words: str, timeout: float = 120) -> str:
        """Run a command that must succeed, and return what it prints."""
        result = self.run(*words, timeout=timeout)
        assert result.returncode == 0, f"{words}: {result.stdout}{result.stderr}"
        return result.stdout

    def lab(self, *words: str) -> str:
        """Run a command of the lab that must succeed, and return its progress lines."""
        result = self.run(sys.executable, "-m", "lab", *words)
        assert result.returncode == 0, result.stderr
        return result.stderr

    def pids(self) -> dict[int, str]:
        """Return the processes of the second lab, and those that name its state: pid → command."""
        words_of = {}
        for folder in Path("/proc").iterdir():
            try:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                marked = f"LAB_OWNER={self.state}\0".encode() in (folder / "environ").read_bytes()
            except OSError:  # not a process, or one that ended
                continue
            if (marked or str(self.state) in words) and int(folder.name) != self._holder.pid:
                words_of[int(folder.name)] = words
        return words_of

    def traces(self) -> dict[str, str]:
        """Return everything that a lab could leave on the machine, as text to compare."""
        cgroup = paths.cgroup(self.state)
        rules = [
            line
            for family in ("iptables", "ip6tables")
            for line in self.ask(f"{family}-save").splitlines()
            if line.startswith("-A") or (line.startswith(":") and " - " in line)
        ]
        return {
            "processes": "\n".join(self.pids().values()),
            "links": "\n".join(
                sorted(line.split()[0] for line in self.ask("ip", "-br", "link").splitlines())
            ),
            "addresses": self.ask("ip", "route"),
            "rules": "\n".join(rules),
            "mounts": self.ask("findmnt", "--list", "--noheadings", "--output", "TARGET"),
            "run": self.ask("ls", "-A", "/run"),
            "folders": self.ask("ls", "-A", "/etc", "/opt", "/var/lib", "/var/log", "/usr/libexec"),
            "cgroups": self.ask("find", "/sys/fs/cgroup", "-maxdepth", "2", "-name", cgroup),
        }

    def close(self) -> None:
        """End everything on it, and delete its state."""
        self.lab("down")
        self._holder.kill()
        self._holder.communicate()
        self._end_all()
        shutil.rmtree(self.state)

    def _end_all(self) -> None:
        """Kill what an interrupted run of the test may have left, wherever its network is."""
        script = "from lab.processes import current, stop; stop({p.service for p in current()}, grace_s=0)"
        environment = os.environ | {"LAB_STATE": str(self.state)}
        subprocess.run([sys.executable, "-c", script], check=True, cwd=REPOSITORY, env=environment)


def eventually(what: str, check: object, seconds: float = 60) -> None:
    """Wait until a callable returns something true."""
    assert callable(check)
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)
