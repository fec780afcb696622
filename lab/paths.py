"""The lab's paths, addresses and versions, and helpers for files."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
STATE = Path(os.environ.get("LAB_STATE") or Path.home() / ".cache" / "lab").absolute()
LINK = Path("/run/lab")
BIN, LOGS, TEMPORARY, PKI = STATE / "bin", STATE / "logs", STATE / "tmp", STATE / "pki"
CNI = STATE / "cni"
KUBECONFIG = STATE / "kubeconfig"
ENGINE_SOCKET = STATE / "engine.sock"

REGISTRY = "localhost:5000"
DAGGER_VERSION = "v0.19.10"
KUBERNETES_VERSION = "v1.34.2"
ENGINE_NETWORK, ENGINE_BRIDGE, ENGINE_CIDR, ENGINE_GATEWAY = "lab", "lab0", "10.88.0.0/16", "10.88.0.1"
POD_NETWORK, POD_BRIDGE, POD_CIDR = "lab-pods", "lab-cni0", "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"


def cgroup(state: Path) -> str:
    """Return a lab's name in the cgroup tree. It depends on the state: two labs share the tree."""
    return f"lab-{hashlib.sha256(os.fsencode(state)).hexdigest()[:8]}"


CGROUP = cgroup(STATE)


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    """Write a file in one step: readers see the old text or the new one, even after a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    temporary.chmod(mode)
    return temporary.replace(path)


def install(source: Path, target: Path) -> None:
    """Copy an executable in one step. If the same one is there, leave it: it may be running."""
    if target.exists() and _same(source, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.new")
    shutil.copy2(source, temporary)
    temporary.replace(target)


def _same(source: Path, target: Path) -> bool:
    one, other = source.stat(), target.stat()
    return one.st_size == other.st_size and int(one.st_mtime) == int(other.st_mtime)


def replace_folder(made: Path, target: Path) -> None:
    """Replace a folder by a finished one; a kill between the two steps leaves no folder."""
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    made.replace(target)


def link(target: Path, path: Path) -> None:
    """Set a symbolic link in one step."""
    if path.is_symlink() and path.readlink() == target:
        return
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(path)


def render(template: str, target: Path) -> Path:
    """Write a file of `config/` with this state's values filled in."""
    text = (HERE / "config" / template).read_text()
    return write(target, text.replace("@STATE@", str(STATE)).replace("@CGROUP@", CGROUP))


def fingerprint(root: Path, files: Iterable[Path], *more: str) -> str:
    """Return a digest of files' relative names, their contents and more words, as 16 hex digits."""
    digest = hashlib.sha256("\0".join(more).encode())
    for path in sorted(files):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def files_below(folder: Path) -> list[Path]:
    """Return all files in a folder and below it, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
