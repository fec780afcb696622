"""Writes images as OCI layouts from folders, and copies them to a registry.

The format: https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

import gzip
import hashlib
import http.client
import json
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lab.errors import LabError
from lab.steps import run

MEDIA = "application/vnd.oci.image"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Layer:
    """A packed layer: the gzip file, its digest, and the digest of its content; both without `sha256:`."""

    file: Path
    digest: str
    diff_id: str


def pack(folder: Path, target: Path, *, root_owned: bool = False) -> Layer:
    """Pack a folder as a layer. With `root_owned`, every file in the layer belongs to root."""
    tar = target.with_suffix(".tar")
    owner = ["--owner=0", "--group=0"] if root_owned else []
    run(
        ["tar", "--numeric-owner", "--sort=name", *owner, "-C", folder, "-cf", tar, "."],
        log="images", what=f"packing {folder.name}",
    )  # fmt: skip
    diff_id = sha256(tar)
    with tar.open("rb") as source, gzip.GzipFile(target, "wb", compresslevel=1, mtime=0) as packed:
        shutil.copyfileobj(source, packed, 1 << 20)
    tar.unlink()
    return Layer(target, sha256(target), diff_id)


def write_layout(
    layout: Path, layers: Sequence[Layer], *, env: dict[str, str] | None = None, entrypoint: str | None = None
) -> str:
    """Write an image of layers, the lowest first, into a new folder; return the manifest's digest.

    Layer files are moved there, or linked if they are in a layout. The digest has the form `sha256:…`.
    """
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    descriptors = []
    for layer in layers:
        blob = blobs / layer.digest
        if layer.file.name == layer.digest:
            blob.hardlink_to(layer.file)
        else:
            layer.file.replace(blob)
        descriptors.append(_descriptor("layer.v1.tar+gzip", layer.digest, blob.stat().st_size))
    start = {"Entrypoint": [entrypoint]} if entrypoint else {"Cmd": ["python3"]}
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Env": [f"{k}={v}" for k, v in ({"PATH": PATH} | (env or {})).items()], **start},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}" for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{MEDIA}.manifest.v1+json",
        "config": _add(blobs, "config.v1+json", config),
        "layers": descriptors,
    }
    entry = _add(blobs, "manifest.v1+json", manifest)
    _index(layout, [entry | {"annotations": {"org.opencontainers.image.ref.name": "latest"}}])
    return str(entry["digest"])


def merge_layouts(layouts: Sequence[Path], target: Path) -> None:
    """Merge several layouts into one."""
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    manifests = []
    for layout in layouts:
        for blob in (layout / "blobs" / "sha256").iterdir():
            if not (blobs / blob.name).exists():
                (blobs / blob.name).hardlink_to(blob)
        manifests += _read(layout / "index.json")["manifests"]
    _index(target, manifests)


def digest_of(layout: Path) -> str:
    """Return the digest of a layout's only manifest, as `sha256:…`."""
    return str(_read(layout / "index.json")["manifests"][0]["digest"])


def layers_of(layout: Path) -> list[Layer]:
    """Return the layers of a layout's only image; their files are those of the layout."""
    blobs = layout / "blobs" / "sha256"
    manifest = _read(blobs / digest_of(layout).removeprefix("sha256:"))
    config = _read(blobs / manifest["config"]["digest"].removeprefix("sha256:"))
    digests = [layer["digest"].removeprefix("sha256:") for layer in manifest["layers"]]
    diff_ids = [diff_id.removeprefix("sha256:") for diff_id in config["rootfs"]["diff_ids"]]
    return [Layer(blobs / digest, digest, diff_id) for digest, diff_id in zip(digests, diff_ids, strict=True)]


def push(layout: Path, registry: str, name: str) -> None:
    """Copy a layout to `name:tag` in a registry of this machine, over plain HTTP, unless it has it."""
    repository, tag = name.rsplit(":", 1)
    connection = http.client.HTTPConnection(registry, timeout=10)
    try:
        accept = {"Accept": f"{MEDIA}.manifest.v1+json"}
        connection.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers=accept)
        present = connection.getresponse().headers.get("Docker-Content-Digest")
    except OSError as error:
        raise LabError(f"the registry at {registry} does not answer ({error}); see its log") from error
    finally:
        connection.close()
    if present != digest_of(layout):
        run(
            ["skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false",
             f"oci:{layout}:latest", f"docker://{registry}/{name}"],
            log="images", what=f"pushing {name} to the registry",
        )  # fmt: skip


def sha256(path: Path) -> str:
    """Return a file's digest, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": f"{MEDIA}.{kind}", "digest": f"sha256:{digest}", "size": size}


def _add(blobs: Path, kind: str, content: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(content).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return _descriptor(kind, digest, len(data))


def _index(layout: Path, manifests: list[dict[str, Any]]) -> None:
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))


def _read(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(path.read_text()))
