"""An image's manifest and configuration, made from what the engine exports and added layers, without a time.

The formats: https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md and
https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md; Docker's HEALTHCHECK, which they do not
have: https://github.com/moby/docker-image-spec
"""

import hashlib
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypedDict, cast

from ml_pipeline.publishing.layers import Layer

MEDIA = "application/vnd.oci.image"
MANIFEST, CONFIG, LAYER = (
    f"{MEDIA}.{kind}" for kind in ("manifest.v1+json", "config.v1+json", "layer.v1.tar+gzip")
)
CREATED = "1970-01-01T00:00:00Z"
SECOND = 1_000_000_000  # nanoseconds, which Docker counts in


class Descriptor(TypedDict):
    """How a manifest names a blob; the size is in bytes."""

    mediaType: str
    digest: str
    size: int


class Manifest(TypedDict):
    """The part of a manifest that is read here."""

    config: Descriptor
    layers: list[Descriptor]


class RootFilesystem(TypedDict):
    """The digests of the layers' unpacked tars, the lowest first."""

    diff_ids: list[str]


class Configuration(TypedDict):
    """The part of an image's configuration that is read here; `config` has the settings of its containers."""

    architecture: str
    os: str
    config: dict[str, object]
    rootfs: RootFilesystem


@dataclass(frozen=True)
class Exported:
    """An image as the engine exports it: a tar of blobs."""

    tar: tarfile.TarFile

    @property
    def manifest(self) -> Manifest:
        """The image's manifest."""
        (entry,) = json.load(self._open("index.json"))["manifests"]
        return cast("Manifest", json.load(self.blob(entry["digest"])))

    @property
    def config(self) -> Configuration:
        """The image's configuration."""
        return cast("Configuration", json.load(self.blob(self.manifest["config"]["digest"])))

    def blob(self, digest: str) -> IO[bytes]:
        """Open a blob."""
        return self._open(f"blobs/{digest.replace(':', '/')}")

    def _open(self, name: str) -> IO[bytes]:
        file = self.tar.extractfile(name)
        if file is None:
            raise ValueError(f"{name} is not a file")
        return file


@dataclass(frozen=True)
class Image:
    """The two documents that are pushed with the layers."""

    manifest: bytes
    config: bytes

    @property
    def digest(self) -> str:
        """The image's digest."""
        return digest_of(self.manifest)


def compose(exported: Exported, added: Sequence[Layer], healthcheck: Sequence[str]) -> Image:
    """Return the image with the exported layers and settings, and the added layers above them.

    `healthcheck` is the command that Docker runs to ask for the container's health; empty: none.
    """
    base_layers, base = exported.manifest["layers"], exported.config
    settings = base["config"]
    if healthcheck:
        settings["Healthcheck"] = {
            "Test": ["CMD", *healthcheck],
            "Interval": 10 * SECOND,
            "Timeout": 5 * SECOND,
            "StartPeriod": 60 * SECOND,
        }
    made_by = ["the base image"] * len(base_layers) + [layer.made_by for layer in added]
    config = _json(
        {
            "architecture": base["architecture"],
            "os": base["os"],
            "created": CREATED,
            "config": settings,
            "history": [{"created": CREATED, "created_by": words} for words in made_by],
            "rootfs": {
                "type": "layers",
                "diff_ids": [*base["rootfs"]["diff_ids"], *(layer.diff_id for layer in added)],
            },
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(CONFIG, digest_of(config), len(config)),
        "layers": [
            *(_descriptor(layer["mediaType"], layer["digest"], layer["size"]) for layer in base_layers),
            *(_descriptor(LAYER, layer.digest, layer.size) for layer in added),
        ],
    }
    return Image(_json(manifest), config)


@contextmanager
def exported_in(path: Path) -> Iterator[Exported]:
    """Open an exported image."""
    with tarfile.open(path) as tar:
        yield Exported(tar)


def digest_of(data: bytes) -> str:
    """Return `sha256:…` of some data."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _descriptor(media_type: str, digest: str, size: int) -> Descriptor:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode()
