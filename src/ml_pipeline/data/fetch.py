"""Tables in object storage: `list` finds the objects that a table is made of, `fetch` downloads them.

    python -m ml_pipeline.data.fetch list  --url s3://BUCKET/KEY … --output OUT
    python -m ml_pipeline.data.fetch fetch --listing listing.json --kept FOLDER --output OUT

`list` writes OUT/listing.json: each object's URL, size in bytes and ETag. `fetch` writes exactly these
objects, each to OUT/s3:/BUCKET/KEY. It keeps them in FOLDER too, so that the next fetch downloads only those
that changed. Credentials, region and endpoint_url are read from the places that AWS's own tools read; without
credentials the requests are anonymous, which public buckets allow.
"""

import asyncio
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import NoReturn, TypedDict

import s3fs
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError
from fsspec.utils import glob_translate
from s3fs.utils import FileExpired

from ml_pipeline.common import command_line
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.data import storage_errors
from ml_pipeline.data.paths import SCHEME, is_glob, is_meant, is_table
from ml_pipeline.data.storage_errors import SET_CREDENTIALS

AT_ONCE = 4  # objects
BLOCK = 8 << 20  # bytes of an object that are in memory at once
PATIENCE = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 3}}
SET_URL = "set it under [tool.ml-pipeline.data] to an object, a prefix or a glob"


class Entry(TypedDict):
    """An object as s3fs lists it, without the keys that nobody needs."""

    type: str
    size: int
    ETag: str


@dataclass(frozen=True)
class Object:
    """An object as it was when it was listed. Its ETag changes with its content; see `_plain`."""

    url: str
    size: int  # bytes
    etag: str

    @property
    def path(self) -> str:
        """The bucket and key."""
        return self.url.removeprefix(SCHEME)

    @property
    def identity(self) -> str:
        """A file name that is different for any other content."""
        return hashlib.sha256(f"{self.url}\0{self.etag}\0{self.size}".encode()).hexdigest()


def list_objects(urls: Sequence[str], output: Path) -> dict[str, object]:
    """Write the listing. Raises StageFailure if a URL names no object, or the storage refuses."""
    store = _connected()
    by_url: dict[str, Object] = {}
    for url in urls:
        with _readable(url):
            by_url |= {one.url: one for one in _objects(store, url)}
    objects = [by_url[url] for url in sorted(by_url)]
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(one) for one in objects], indent=1, ensure_ascii=False)
    (output / "listing.json").write_text(text + "\n", encoding="utf-8")
    size = sum(one.size for one in objects)
    print(f"{len(objects)} object{'' if len(objects) == 1 else 's'}, {size / 1e6:,.1f} MB")
    return {"objects": len(objects), "bytes": size}


def fetch(listing: Path, kept: Path, output: Path) -> dict[str, object]:
    """Write the objects, and delete from `kept` those that are not listed any more.

    Raises StageFailure for an object that changed since it was listed, or can't be read.
    """
    objects = [Object(**entry) for entry in json.loads(listing.read_text(encoding="utf-8"))]
    kept.mkdir(parents=True, exist_ok=True)
    missing = [one for one in objects if not _is_kept(kept, one)]
    store = _connected()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda one: _download(store, one, kept), missing))
    for one in objects:
        target = output / one.url  # OUT/s3:/BUCKET/KEY
        with _readable(one.url):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept / one.identity, target)
    listed = {one.identity for one in objects}
    for file in kept.iterdir():
        if file.name not in listed:
            file.unlink()
    size = sum(one.size for one in missing)
    print(f"{len(objects)} objects, {len(missing)} of them downloaded ({size / 1e6:,.1f} MB)")
    return {"objects": len(objects), "fetched": len(missing), "fetched_bytes": size}


def _connected() -> s3fs.S3FileSystem:
    """Open the storage as the environment and AWS's files say. Raises StageFailure."""
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE")
    if file and file == os.environ.get("AWS_CONFIG_FILE") and Path(file).exists():
        storage_errors.check_credentials(Path(file).read_text(encoding="utf-8", errors="replace"))
    try:
        anonymous = asyncio.run(AioSession().get_credentials()) is None
    except BotoCoreError as error:
        raise StageFailure(f"the credentials can't be used: {one_line(error)}", SET_CREDENTIALS) from None
    return s3fs.S3FileSystem(
        anon=anonymous, config_kwargs=PATIENCE, use_listings_cache=False, skip_instance_cache=True
    )


def _objects(store: s3fs.S3FileSystem, url: str) -> list[Object]:
    """Return the objects that a URL names: one by its key, the tables under a prefix, or those of a glob."""
    path = url.removeprefix(SCHEME).rstrip("/")
    is_prefix = url.endswith("/")
    entries = _entries(store, path, is_prefix)
    if path in entries and not is_prefix:
        objects = {path: entries[path]}
    elif is_glob(path):
        objects = {key: entries[key] for key in _matching(path, entries)}
    else:
        below = PurePosixPath(path)
        tables = (key for key in entries if is_table(PurePosixPath(key).relative_to(below)))
        objects = {key: entries[key] for key in tables}
    if not objects:
        raise StageFailure(_nothing(store, url, path, len(entries)), SET_URL)
    for key in objects:
        if {"", ".", ".."} & set(key.split("/")):
            raise StageFailure(f"{SCHEME}{key} has a key that is not a path", "give the object another key")
    return [Object(SCHEME + key, entry["size"], _plain(entry["ETag"])) for key, entry in objects.items()]


def _plain(etag: str) -> str:
    """Return an ETag without what some servers add to it in one answer and not in the other."""
    return etag.removeprefix("W/").strip('"')


def _entries(store: s3fs.S3FileSystem, path: str, is_prefix: bool) -> dict[str, Entry]:
    """Return the object itself, or all below the part of the path without wildcards, by key."""
    if "/" in path and not is_glob(path) and not is_prefix:
        # A bucket may allow reading but not listing. Where it allows neither, the listing's error says more.
        with suppress(FileNotFoundError, PermissionError):
            entry = store.info(path)
            if entry["type"] == "file":
                return {path: entry}
    root = "/".join(takewhile(lambda part: not is_glob(part), path.split("/")))
    entries: dict[str, Entry] = store.find(root, detail=True)
    folders = {key for key in entries if key.endswith("/")}
    return {
        key: entry for key, entry in entries.items() if key not in folders | ({path} if is_prefix else set())
    }


def _matching(path: str, keys: Iterable[str]) -> Iterator[str]:
    try:
        pattern = re.compile(glob_translate(path))
    except ValueError as error:
        raise StageFailure(f"{SCHEME + path!r}: {one_line(error)}", SET_URL) from None
    return (key for key in keys if pattern.match(key) and is_meant(PurePosixPath(key), path))


def _nothing(store: s3fs.S3FileSystem, url: str, path: str, others: int) -> str:
    if is_glob(path):
        return f"no object matches {url!r}"
    if others:
        return f"{url!r} has no Parquet or CSV object, but {others} of other names"
    if "/" not in path:
        return f"bucket {path!r} is empty"
    siblings = store.find(path.rpartition("/")[0])
    close = f" ({nearest(url, [SCHEME + key for key in siblings]).removesuffix('?')})" if siblings else ""
    return f"{url!r} does not exist{close}"


def _is_kept(kept: Path, one: Object) -> bool:
    file = kept / one.identity
    return file.exists() and file.stat().st_size == one.size


def _download(store: s3fs.S3FileSystem, one: Object, kept: Path) -> None:
    """Stream an object to the disk; its name appears when it is whole."""
    part = kept / f"{one.identity}.part"
    with _readable(one.url):
        # Every block is asked for with the ETag that was found on opening.
        with store.open(one.path, "rb", block_size=BLOCK, cache_type="none") as remote:
            if (_plain(remote.details["ETag"]), remote.size) != (one.etag, one.size):
                raise FileExpired(one.path, remote.details["ETag"])
            with part.open("wb") as file:
                shutil.copyfileobj(remote, file, BLOCK)
        if part.stat().st_size != one.size:
            raise StageFailure(f"{one.url} ended after {part.stat().st_size} of {one.size} bytes", _AGAIN)
    part.rename(kept / one.identity)


_AGAIN = "run it again"
_SPACE = "free some: a fetched object is stored twice"
_CHANGING = "run it again when the program that writes there has finished"


@contextmanager
def _readable(url: str) -> Iterator[None]:
    """Turn errors of storage and network into one line."""
    try:
        yield
    except FileExpired:
        raise StageFailure(f"{url} changed while it was fetched", _CHANGING) from None
    except (OSError, ValueError, BotoCoreError) as error:  # an endpoint that is not a URL is a ValueError
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise StageFailure(f"no space left on the engine's disk for {url}", _SPACE) from None
        answer = (getattr(error.__cause__, "response", None) or {}).get("Error", {})
        code = answer.get("Code", "")
        why = storage_errors.cause(code, one_line(error), answer)
        if code == "NoSuchBucket":
            bucket = url.removeprefix(SCHEME).partition("/")[0]
            raise StageFailure(f"{url!r}: there is no bucket {bucket!r}", SET_URL) from None
        if isinstance(error, FileNotFoundError):
            raise StageFailure(f"{url} was deleted after it was listed", _CHANGING) from None
        if isinstance(error, PermissionError):
            hint = storage_errors.hint(code, SET_CREDENTIALS)
            raise StageFailure(f"{url!r} is refused: {why}", hint) from None
        hint = storage_errors.hint(code, _AGAIN if isinstance(error, OSError) else SET_CREDENTIALS)
        raise StageFailure(f"{url!r} can't be read: {why}", hint) from None


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program on the command line's arguments."""
    parser = command_line.parser("data.fetch", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="find the objects that URLs name")
    listing.add_argument(
        "--url", action="append", required=True, help="s3://BUCKET/KEY, a prefix or a glob; may be repeated"
    )
    fetching = commands.add_parser("fetch", help="download the objects that were listed")
    fetching.add_argument("--listing", type=Path, required=True, help="the listing.json that `list` wrote")
    fetching.add_argument(
        "--kept", type=Path, required=True, help="folder that keeps objects for the next fetch"
    )
    for command in (listing, fetching):
        command.add_argument("--output", type=Path, required=True, help="folder to write to")
    options = parser.parse_args(arguments)
    if options.command == "list":
        run_stage("list-data", lambda: list_objects(options.url, options.output))
    run_stage("fetch-data", lambda: fetch(options.listing, options.kept, options.output))


if __name__ == "__main__":
    main()
