"""A folder as one layer of an image: the same files are the same bytes, whenever they are packed.

The format: https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md
"""

import gzip
import hashlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

LEVEL = 6  # of gzip


@dataclass(frozen=True)
class Layer:
    """A packed layer; `diff_id` is the digest of the tar in it, and both digests begin with sha256:."""

    digest: str
    diff_id: str
    size: int  # bytes, packed
    made_by: str  # what the image's history says of it


class Hashed:
    """A file that hashes and counts what is written through it."""

    def __init__(self, target: IO[bytes]) -> None:
        self.target = target
        self.size = 0
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self.target.write(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def pack(folder: Path, path: str, target: Path) -> Layer:
    """Write a folder as the layer that has it at the absolute `path`.

    Owners and modes are kept. Times are not: all files are from 1970.
    """
    with target.open("wb") as file:
        packed = Hashed(file)
        with gzip.GzipFile("", "wb", LEVEL, cast("IO[bytes]", packed), mtime=0) as zipped:
            plain = Hashed(cast("IO[bytes]", zipped))
            with tarfile.open(fileobj=cast("IO[bytes]", plain), mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for entry in _walk(folder):
                    name = Path(path.lstrip("/")) / entry.relative_to(folder)
                    info = tar.gettarinfo(entry, str(name))
                    info.mtime, info.uname, info.gname = 0, "", ""
                    if info.islnk():  # two names of one file on the engine's disk are two files here
                        info.type, info.linkname = tarfile.REGTYPE, ""
                        info.size = entry.stat().st_size
                    if info.isreg():
                        with entry.open("rb") as content:
                            tar.addfile(info, content)
                    else:
                        tar.addfile(info)
    return Layer(packed.digest, plain.digest, packed.size, f"ml-pipeline: {path}")


def _walk(folder: Path) -> Iterator[Path]:
    """Yield a folder and everything in it, each folder before its content, sorted by bytes."""
    yield folder
    for entry in sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name)):
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield Path(entry.path)
