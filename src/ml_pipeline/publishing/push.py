"""Push an image whose digest tells of its content alone: no time is in it.

    python -m ml_pipeline.publishing.push --exported image.tar --layer FOLDER … --to https://HOST/NAME:TAG

`image.tar` is an image as the engine exports it: its layers are the lowest, its settings the image's.
Each folder has what the `pack` stage wrote. The password of --username is the content of
--password-file.
"""

import argparse
import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from ml_pipeline.common.outcome import run_stage
from ml_pipeline.publishing.layers import Layer
from ml_pipeline.publishing.manifest import MANIFEST, Exported, Image, compose, digest_of, exported_in
from ml_pipeline.publishing.repository import Open, Repository


def push(
    exported: Exported, folders: Sequence[Path], healthcheck: Sequence[str], repository: Repository, tag: str
) -> dict[str, Any]:
    """Bring what the registry lacks, then name it; the details have the manifest's digest."""
    layers = [Layer(**json.loads((folder / "layer.json").read_text())) for folder in folders]
    image = compose(exported, layers, healthcheck)
    brought = 0
    for digest, size, content in _blobs(image, exported, folders, layers):
        if not repository.has(digest):
            repository.upload(digest, size, content)
            brought += size
    repository.tag(tag, MANIFEST, image.manifest)
    print(f"{image.digest}: {brought / 1e6:,.1f} MB brought")
    return {"digest": image.digest, "bytes": brought}


def _blobs(
    image: Image, exported: Exported, folders: Sequence[Path], layers: Sequence[Layer]
) -> list[tuple[str, int, Open]]:
    """Return digest, size and content of all that the manifest names."""
    return [
        *((e["digest"], e["size"], partial(exported.blob, e["digest"])) for e in exported.manifest["layers"]),
        *(
            (layer.digest, layer.size, partial(_opened, folder / "layer.tar.gz"))
            for folder, layer in zip(folders, layers, strict=True)
        ),
        (digest_of(image.config), len(image.config), partial(io.BytesIO, image.config)),
    ]


def _opened(path: Path) -> IO[bytes]:
    return path.open("rb")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m ml_pipeline.publishing.push",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--exported", type=Path, required=True, help="an image as the engine exports it")
    parser.add_argument("--layer", type=Path, action="append", default=[], help="what `pack` wrote")
    parser.add_argument("--healthcheck", default="[]", help="a command, as a JSON list")
    parser.add_argument("--to", required=True, help="https://HOST[:PORT]/NAME:TAG, or http://")
    parser.add_argument("--username", help="who pushes")
    parser.add_argument("--password-file", type=Path, help="a file with the password or token")
    options = parser.parse_args()
    to = urlsplit(options.to)
    name, _, tag = to.path.lstrip("/").rpartition(":")
    password = options.password_file.read_text().strip() if options.password_file else None
    repository = Repository(f"{to.scheme}://{to.netloc}", name, options.username, password)

    def body() -> dict[str, Any]:
        with exported_in(options.exported) as exported:
            return push(exported, options.layer, json.loads(options.healthcheck), repository, tag)

    run_stage("publish", body)


if __name__ == "__main__":
    main()
