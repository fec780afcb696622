"""The module itself in other versions: of an older commit, or with an edit."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.calls import ROOT, UNCOPIED

PARTS = ("dagger.json", "pyproject.toml", "requirements-model.txt", "README.md", "LICENSE", "src")


def at_commit(commit: str, target: Path) -> Path:
    """Write what a commit has of the module into a folder. It must be in this clone's history."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, *PARTS], capture_output=True, check=False
    )
    assert archive.returncode == 0, f"this clone has no commit {commit}: fetch its whole history"
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(target, filter="data")
    return target


def copied(target: Path) -> Path:
    """Copy the module as it is here into a folder, to be edited."""
    target.mkdir()
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=UNCOPIED)
        else:
            shutil.copy2(ROOT / name, target / name)
    return target
