"""What a path under [tool.ml-pipeline.data] names: a file, a folder, a glob; here or in object storage."""

from pathlib import PurePath

SCHEME = "s3://"
_FOLDER = "s3:/"  # what a path makes of the scheme: fetched objects stand under it, by their bucket and key
_GLOB = frozenset("*?[")


def is_glob(path: str) -> bool:
    """Whether it stands for all files that match."""
    return bool(_GLOB & set(path))


def is_table(path: PurePath) -> bool:
    """Whether a file in a folder is part of the folder's table, by its name."""
    hidden = path.name.startswith((".", "_"))
    return not hidden and path.suffix.lower() in {".parquet", ".pq", ".csv"}


def shown(path: PurePath) -> str:
    """Return a relative path as people write it, a fetched object's as its URL."""
    text = path.as_posix()
    return SCHEME + text.removeprefix(_FOLDER) if text.startswith(_FOLDER) else text
