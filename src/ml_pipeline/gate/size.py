"""How large an image is on a node's disk, and how much of that its base image had already."""

import os
from pathlib import Path

MEGABYTE = 1e6


def unpacked(root: Path) -> float:
    """Return the MB of a root filesystem's files; one that has several names counts once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    folders = [root]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    if (status.st_dev, status.st_ino) not in seen:
                        seen.add((status.st_dev, status.st_ino))
                        total += status.st_size
    return total / MEGABYTE


def measure(image: Path, base: Path, compressed: tuple[float, float] | None = None) -> dict[str, float]:
    """Return image_mb, all of it, and image_above_base_mb, what it adds to its base.

    `compressed`: the MB of both in a registry, for the same two of what a node has to pull.
    """
    whole = unpacked(image)
    sizes = {"image_mb": whole, "image_above_base_mb": whole - unpacked(base)}
    if compressed:
        pulled, of_base = compressed
        sizes |= {"image_compressed_mb": pulled, "image_above_base_compressed_mb": pulled - of_base}
    return sizes
