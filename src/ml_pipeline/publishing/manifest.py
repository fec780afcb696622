"""An image's manifest and configuration out of what the engine exports, layers, and no clock.

The formats: https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md and
https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md; Docker's HEALTHCHECK, which they do not
have: https://github.com/moby/docker-image-spec
"""

import hashlib
import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ml_pipeline.publishing.layers import Layer

MEDIA = "application/vnd.oci.image"
MANIFEST, CONFIG, LAYER = (
    f"{MEDIA}.{kind}" for kind in ("manifest.v1+json", "config.v1+json", "layer.v1.tar+gzip")
)
CREATED = "1970-01-01T00:00:00Z"
SECOND = 1_000_000_000  # nanoseconds, which Docker counts in


@dataclass(frozen=True)
class Exported:
    """An image as the engine exports it: a tar of blobs."""

    tar: tarfile.TarFile

    @property
    def manifest(self) -> dict[str, Any]:
        (entry,) = json.load(self._open("index.json"))["manifests"]
        return cast("dict[str, Any]", json.load(self.blob(entry["digest"])))

    @property
    def config(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.load(self.blob(self.manifest["config"]["digest"])))

    def blob(self, digest: str) -> IO[bytes]:
        return self._open(f"blobs/{digest.replace(':', '/')}")

    def _open(self, name: str) -> IO[bytes]:
        file = self.tar.extractfile(name)
        if file is None:
            raise ValueError(f"{name} is no file")
        return file


@dataclass(frozen=True)
class Image:
    """What is pushed, beside the layers."""

    manifest: bytes
    config: bytes

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def compose(exported: Exported, added: Sequence[Layer], healthcheck: Sequence[str]) -> Image:
    """Return the image that has what was exported, layers and settings, and the added layers above them."""
    under, was = exported.manifest["layers"], exported.config
    settings = was["config"]
    if healthcheck:
        settings["Healthcheck"] = {
            "Test": ["CMD", *healthcheck],
            "Interval": 10 * SECOND,
            "Timeout": 5 * SECOND,
            "StartPeriod": 60 * SECOND,
        }
    made_by = ["the base image"] * len(under) + [layer.made_by for layer in added]
    config = _json(
        {
            "architecture": was["architecture"],
            "os": was["os"],
            "created": CREATED,
            "config": settings,
            "history": [{"created": CREATED, "created_by": words} for words in made_by],
            "rootfs": {
                "type": "layers",
                "diff_ids": [*was["rootfs"]["diff_ids"], *(layer.diff_id for layer in added)],
            },
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(CONFIG, digest_of(config), len(config)),
        "layers": [
            *(_descriptor(layer["mediaType"], layer["digest"], layer["size"]) for layer in under),
            *(_descriptor(LAYER, layer.digest, layer.size) for layer in added),
        ],
    }
    return Image(_json(manifest), config)


@contextmanager
def exported_in(path: Path) -> Iterator[Exported]:
    with tarfile.open(path) as tar:
        yield Exported(tar)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode()
