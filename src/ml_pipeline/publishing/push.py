"""Push an image whose digest depends on its content only: no time is in it.

    python -m ml_pipeline.publishing.push --exported image.tar --layer FOLDER … --to https://HOST/NAME:TAG

`image.tar` is an image as the engine exports it: its layers are the lowest ones, and its settings are the
image's. Each FOLDER is the output of the program `pack`.
"""

import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO, NoReturn
from urllib.parse import urlsplit

from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import run_stage
from ml_pipeline.common.reading import read
from ml_pipeline.publishing.layers import Layer
from ml_pipeline.publishing.manifest import MANIFEST, Exported, Image, compose, digest_of, exported_in
from ml_pipeline.publishing.repository import Open, Repository


def push(
    exported: Exported, folders: Sequence[Path], healthcheck: Sequence[str], repository: Repository, tag: str
) -> dict[str, object]:
    """Upload what the registry lacks, then tag it; return the outcome's details, with the image's digest."""
    layers = [read(Layer, json.loads((folder / "layer.json").read_text())) for folder in folders]
    image = compose(exported, layers, healthcheck)
    uploaded = 0
    for digest, size, content in _blobs(image, exported, folders, layers):
        if not repository.has(digest):
            repository.upload(digest, size, content)
            uploaded += size
    repository.tag(tag, MANIFEST, image.manifest)
    print(f"{image.digest}: {uploaded / 1e6:,.1f} MB uploaded")
    return {"digest": image.digest, "bytes": uploaded}


def _blobs(
    image: Image, exported: Exported, folders: Sequence[Path], layers: Sequence[Layer]
) -> list[tuple[str, int, Open]]:
    """Return digest, size and content of each blob that the manifest names."""
    return [
        *(
            (entry["digest"], entry["size"], partial(exported.blob, entry["digest"]))
            for entry in exported.manifest["layers"]
        ),
        *(
            (layer.digest, layer.size, partial(_opened, folder / "layer.tar.gz"))
            for folder, layer in zip(folders, layers, strict=True)
        ),
        (digest_of(image.config), len(image.config), partial(io.BytesIO, image.config)),
    ]


def _opened(path: Path) -> IO[bytes]:
    return path.open("rb")


def main() -> NoReturn:
    """Push the image that the command line names, and end the process."""
    parser = command_line.parser("publishing.push", __doc__)
    parser.add_argument(
        "--exported", type=Path, required=True, help="an image as the engine exports it, a tar"
    )
    parser.add_argument(
        "--layer",
        type=Path,
        action="append",
        default=[],
        help="a folder that `pack` wrote; can be repeated, the lowest layer first",
    )
    parser.add_argument(
        "--healthcheck", default="[]", help="the command that Docker runs for the health, as a JSON list"
    )
    parser.add_argument(
        "--to", required=True, help="where to push to: https://HOST[:PORT]/NAME:TAG, or http://…"
    )
    parser.add_argument("--username", help="user name for the registry")
    parser.add_argument("--password-file", type=Path, help="a file with the password or token of --username")
    options = parser.parse_args()
    to = urlsplit(options.to)
    name, _, tag = to.path.lstrip("/").rpartition(":")
    password = options.password_file.read_text().strip() if options.password_file else None
    repository = Repository(f"{to.scheme}://{to.netloc}", name, options.username, password)

    def body() -> dict[str, object]:
        with exported_in(options.exported) as exported:
            return push(exported, options.layer, json.loads(options.healthcheck), repository, tag)

    run_stage("publish", body)


if __name__ == "__main__":
    main()
