"""Paths under [tool.ml-pipeline.data]: a file, a folder or a glob, in the source or in object storage."""

from pathlib import PurePath

SCHEME = "s3://"
_FOLDER = "s3:/"  # a path turns the scheme into this: fetched objects are under it, by bucket and key
_GLOB = frozenset("*?[")


def is_glob(path: str) -> bool:
    """Return whether a path is a pattern that names all files that match it."""
    return bool(_GLOB & set(path))


def is_table(path: PurePath) -> bool:
    """Return whether a file in a folder is part of the folder's table, by its name."""
    hidden = path.name.startswith((".", "_"))
    name = path.name.lower().removesuffix(".gz")
    return not hidden and name.endswith((".parquet", ".pq", ".csv", ".tsv"))


def shown(path: PurePath) -> str:
    """Return a relative path as people write it: that of a fetched object as its URL."""
    text = path.as_posix()
    return SCHEME + text.removeprefix(_FOLDER) if text.startswith(_FOLDER) else text
