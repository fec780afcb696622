"""Installs what the lab lacks from the machine's own Debian mirror."""

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
# Debian starts these on installation where systemd runs, on the ports that the lab's own take.
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
    """Return the packages that are not wholly installed."""
    result = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    installed = {line.split()[0] for line in result.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def program(name: str) -> Path:
    """Find an installed program, in the folders that a root's PATH may lack, too."""
    where = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin:/usr/lib/cni")
    if where is None:
        raise LabError(f"{name} is not there though its package is installed; reinstall the package")
    return Path(where)


def debian_mirror() -> str:
    """Return the mirror that this machine's own apt uses for Debian; raise LabError where it has none."""
    sources = Path("/etc/apt")
    for source in [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))]:
        if source.is_file():
            for word in source.read_text().split():
                if word.startswith("http") and word.rstrip("/").endswith("/debian"):
                    return word
    raise LabError("found no Debian archive in apt's sources; add one to /etc/apt/sources.list")
