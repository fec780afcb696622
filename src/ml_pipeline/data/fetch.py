"""Tables in object storage: `list` says which objects a table is made of, `fetch` brings these.

    python -m ml_pipeline.data.fetch list  --url s3://BUCKET/KEY … --output OUT
    python -m ml_pipeline.data.fetch fetch --listing listing.json --kept FOLDER --output OUT

`list` writes OUT/listing.json: each object's URL, size in bytes and ETag. `fetch` writes exactly these
objects, each to OUT/s3:/BUCKET/KEY; it keeps them in FOLDER too, from where the next fetch takes those
that are the same. Credentials, region and endpoint_url are found as by any AWS tool; without credentials
the requests are anonymous, as public buckets want them.
"""

import argparse
import asyncio
import errno
import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

import s3fs
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError
from fsspec.utils import glob_translate
from s3fs.utils import FileExpired

from ml_pipeline.common.lines import one_line
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.data.paths import SCHEME, is_glob, is_table

AT_ONCE = 4  # objects
BLOCK = 8 << 20  # bytes of an object that are in memory at once
PATIENCE = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 3}}
SET_CREDENTIALS = (
    "check --data-credentials (the [default] section, endpoint_url in it) and what it is allowed to"
)
SET_URL = "set it under [tool.ml-pipeline.data] to an object, a prefix or a glob"


@dataclass(frozen=True)
class Object:
    """What an object was when it was listed. Its ETag changes with its content."""

    url: str
    size: int  # bytes
    etag: str

    @property
    def path(self) -> str:
        """Its bucket and key."""
        return self.url.removeprefix(SCHEME)

    @property
    def identity(self) -> str:
        """A file name that no other content has."""
        return hashlib.sha256(f"{self.url}\0{self.etag}\0{self.size}".encode()).hexdigest()


def listed(urls: Sequence[str], output: Path) -> dict[str, Any]:
    """Write the listing. Raises `StageFailure` where a URL names nothing, or the storage refuses."""
    store = _connected()
    found: dict[str, Object] = {}
    for url in urls:
        with _told(url):
            found |= {one.url: one for one in _objects(store, url)}
    objects = [found[url] for url in sorted(found)]
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(one) for one in objects], indent=1, ensure_ascii=False)
    (output / "listing.json").write_text(text + "\n", encoding="utf-8")
    size = sum(one.size for one in objects)
    print(f"{len(objects)} object{'' if len(objects) == 1 else 's'}, {size / 1e6:,.1f} MB")
    return {"objects": len(objects), "bytes": size}


def fetch(listing: Path, kept: Path, output: Path) -> dict[str, Any]:
    """Write the objects; forget in `kept` what is not listed any more.

    Raises `StageFailure` for an object that is not what was listed, or can't be had.
    """
    objects = [Object(**entry) for entry in json.loads(listing.read_text(encoding="utf-8"))]
    kept.mkdir(parents=True, exist_ok=True)
    missing = [one for one in objects if not _is_kept(kept, one)]
    store = _connected()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda one: _bring(store, one, kept), missing))
    for one in objects:
        target = output / one.url  # OUT/s3:/BUCKET/KEY
        with _told(one.url):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept / one.identity, target)
    wanted = {one.identity for one in objects}
    for file in kept.iterdir():
        if file.name not in wanted:
            file.unlink()
    size = sum(one.size for one in missing)
    print(f"{len(objects)} objects, {len(missing)} of them fetched ({size / 1e6:,.1f} MB), the others kept")
    return {"objects": len(objects), "fetched": len(missing), "fetched_bytes": size}


def _connected() -> Any:
    """Open the storage as the environment and AWS's files say. Raises `StageFailure`."""
    try:
        anonymous = asyncio.run(AioSession().get_credentials()) is None
    except BotoCoreError as error:
        raise StageFailure(f"the credentials can't be used: {one_line(error)}", SET_CREDENTIALS) from None
    return s3fs.S3FileSystem(
        anon=anonymous, config_kwargs=PATIENCE, use_listings_cache=False, skip_instance_cache=True
    )


def _objects(store: Any, url: str) -> list[Object]:
    """The objects that a URL names: one by its key, those under a prefix that are tables, or a glob's."""
    path = url.removeprefix(SCHEME).rstrip("/")
    found = _found(store, path)
    if path in found:
        objects = {path: found[path]}
    elif is_glob(path):
        objects = {key: found[key] for key in _matching(path, found)}
    else:
        objects = {key: entry for key, entry in found.items() if is_table(PurePosixPath(key))}
    if not objects:
        raise StageFailure(_nothing(store, url, path, len(found)), SET_URL)
    for key in objects:
        if {"", ".", ".."} & set(key.split("/")):
            raise StageFailure(f"{SCHEME}{key} has a key that is no path", "give the object another key")
    return [Object(SCHEME + key, entry["size"], entry["ETag"]) for key, entry in objects.items()]


def _found(store: Any, path: str) -> dict[str, Any]:
    """The object itself, or all below the path's part without wildcards: key → size and ETag."""
    if "/" in path and not is_glob(path):
        # A bucket may give what it does not list. Where it does neither, the listing's refusal says more.
        with suppress(FileNotFoundError, PermissionError):
            entry = store.info(path)
            if entry["type"] == "file":
                return {path: entry}
    root = "/".join(takewhile(lambda part: not is_glob(part), path.split("/")))
    found = store.find(root, detail=True)
    return {key: entry for key, entry in found.items() if not key.endswith("/")}  # those are folders


def _matching(path: str, keys: Iterable[str]) -> Iterator[str]:
    try:
        pattern = re.compile(glob_translate(path))
    except ValueError as error:
        raise StageFailure(f"{SCHEME + path!r}: {one_line(error)}", SET_URL) from None
    return filter(pattern.match, keys)


def _nothing(store: Any, url: str, path: str, others: int) -> str:
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


def _bring(store: Any, one: Object, kept: Path) -> None:
    """Stream an object to the disk; whole or not at all under its name."""
    part = kept / f"{one.identity}.part"
    with _told(one.url):
        # Every block is asked for with the ETag that was found on opening.
        with store.open(one.path, "rb", block_size=BLOCK, cache_type="none") as remote:
            if (remote.details["ETag"], remote.size) != (one.etag, one.size):
                raise FileExpired(one.path, remote.details["ETag"])
            with part.open("wb") as file:
                shutil.copyfileobj(remote, file, BLOCK)
        if part.stat().st_size != one.size:
            raise StageFailure(f"{one.url} ended after {part.stat().st_size} of {one.size} bytes", _AGAIN)
    part.rename(kept / one.identity)


_AGAIN = "run it again"
_SPACE = "give it more: a fetched object is there twice"
_CHANGING = "run it again when what writes there has finished"


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn what storage and network say into one line."""
    try:
        yield
    except FileExpired:
        raise StageFailure(f"{url} changed while it was fetched", _CHANGING) from None
    except (OSError, ValueError, BotoCoreError) as error:  # an endpoint that is no URL is a ValueError
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise StageFailure(f"no space left on the engine's disk for {url}", _SPACE) from None
        response = getattr(error.__cause__, "response", None) or {}
        code = response.get("Error", {}).get("Code", "")
        if code == "NoSuchBucket":
            bucket = url.removeprefix(SCHEME).partition("/")[0]
            raise StageFailure(f"{url!r}: there is no bucket {bucket!r}", SET_URL) from None
        if isinstance(error, FileNotFoundError):
            raise StageFailure(f"{url} is gone since it was listed", _CHANGING) from None
        if isinstance(error, PermissionError):
            raise StageFailure(f"{url!r} is refused: {_said(code, error)}", SET_CREDENTIALS) from None
        hint = _AGAIN if isinstance(error, OSError) else SET_CREDENTIALS
        raise StageFailure(f"{url!r} can't be read: {_said(code, error)}", hint) from None


def _said(code: str, error: Exception) -> str:
    return f"{one_line(error)} ({code})" if code else one_line(error)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the storage stage on the command line's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m ml_pipeline.data.fetch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="say which objects there are")
    listing.add_argument("--url", action="append", required=True, help="s3://BUCKET/KEY; may be repeated")
    fetching = commands.add_parser("fetch", help="bring the objects that were listed")
    fetching.add_argument("--listing", type=Path, required=True, help="what `list` wrote")
    fetching.add_argument("--kept", type=Path, required=True, help="a folder of objects fetched before")
    for command in (listing, fetching):
        command.add_argument("--output", type=Path, required=True, help="the folder to write to")
    options = parser.parse_args(arguments)
    if options.command == "list":
        run_stage("list-data", lambda: listed(options.url, options.output))
    run_stage("fetch-data", lambda: fetch(options.listing, options.kept, options.output))


if __name__ == "__main__":
    main()
