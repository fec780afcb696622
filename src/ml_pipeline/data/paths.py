"""Paths under [tool.ml-pipeline.data]: a file, a folder or a glob, in the source or in object storage."""

from pathlib import PurePath

SCHEME = "s3://"
_FOLDER = "s3:/"  # a path turns the scheme into this: fetched objects are under it, by bucket and key
_GLOB = frozenset("*?[")
# The ends of the names of files that are tables.
PARQUET, JSON_LINES, TABS = (".parquet", ".pq"), (".jsonl", ".ndjson"), (".tsv", ".tab")
TEXT = (".csv", *TABS, *JSON_LINES)  # each may be followed by .gz


def is_glob(path: str) -> bool:
    """Return whether a path is a pattern that names all files that match it."""
    return bool(_GLOB & set(path))


def is_left_behind(part: str) -> bool:
    """Return whether a folder or file is what a writer left there: `_temporary`, `.tmp`, `_SUCCESS`.

    But `_year=2025` is a partition.
    """
    return part.startswith(".") or (part.startswith("_") and "=" not in part)


def is_table(path: PurePath) -> bool:
    """Return whether a file in a folder is part of the folder's table, by its path in that folder."""
    name = path.name.lower()
    named = name.endswith(PARQUET) or name.removesuffix(".gz").endswith(TEXT)
    return named and not any(map(is_left_behind, path.parts))


def is_meant(path: PurePath, pattern: str) -> bool:
    """Return whether a glob that matches a path means it: as in a shell, `*` does not mean hidden folders."""
    firsts = {part[:1] for part in pattern.split("/")}
    return all(part[0] in firsts for part in path.parts if is_left_behind(part))


def shown(path: PurePath) -> str:
    """Return a relative path as people write it: that of a fetched object as its URL."""
    text = path.as_posix()
    return SCHEME + text.removeprefix(_FOLDER) if text.startswith(_FOLDER) else text
