"""Installs missing Debian packages from the machine's own mirror."""

import shutil
import subprocess
from pathlib import Path

from lab.errors import LabError
from lab.steps import run, timed

ENGINE = [
    "runc", "containernetworking-plugins", "dnsmasq-base", "iptables", "iproute2", "docker-registry",
    "skopeo", "debootstrap", "debian-archive-keyring", "git", "ca-certificates",
]  # fmt: skip
CLUSTER = ["containerd", "etcd-server", "openssl"]
# With systemd, Debian starts these on installation, on ports that the lab's own services need.
SERVICES = {"docker-registry": "docker-registry", "containerd": "containerd", "etcd-server": "etcd"}
APT = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


def install(packages: list[str]) -> None:
    """Install the packages that are missing. An interrupted installation is finished first."""
    absent = missing(packages)
    if not absent:
        return
    with timed(f"installing {', '.join(absent)}"):
        run(["dpkg", "--configure", "-a"], log="apt", what="dpkg --configure -a", env=QUIET, outlive=True)
        run([*APT, "update"], log="apt", what="apt-get update", outlive=True)
        run(
            [*APT, "install", "-y", "--no-install-recommends", *absent],
            log="apt", what="apt-get install", env=QUIET, outlive=True,
        )  # fmt: skip
    if Path("/run/systemd/system").exists():
        for package in set(absent) & SERVICES.keys():
            command = ["systemctl", "disable", "--now", SERVICES[package]]
            subprocess.run(command, capture_output=True, check=False)


def missing(packages: list[str]) -> list[str]:
    """Return the packages that are not completely installed."""
    result = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    installed = {line.split()[0] for line in result.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def program(name: str) -> Path:
    """Return the path of an installed program, also from folders that are often not on PATH."""
    where = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin:/usr/lib/cni")
    if where is None:
        raise LabError(f"{name} is missing although its package is installed; reinstall the package")
    return Path(where)


def debian_mirror() -> str:
    """Return the Debian mirror that apt uses on this machine. Raises LabError if there is none."""
    sources = Path("/etc/apt")
    for source in [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))]:
        if source.is_file():
            for word in source.read_text().split():
                if word.startswith("http") and word.rstrip("/").endswith("/debian"):
                    return word
    raise LabError("apt's sources have no Debian archive; add one to /etc/apt/sources.list")
