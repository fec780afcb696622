"""Find and open the table that a project names: Parquet or CSV; a file, a folder or a glob."""

import csv
import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ml_pipeline.columns.polars_types import types_of
from ml_pipeline.columns.types import compatible
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data.paths import is_glob, is_table, shown

_MAGIC = b"PAR1"
_SNIFF = 1 << 16
_ALIKE = "give all files of the table the same columns"
# Types that Arrow's users add, such as JSON, are what they are stored as: text, here.
warnings.filterwarnings("ignore", "Extension type .* is not registered; loading as its storage type")
SET_PATH = "set path under [tool.ml-pipeline.data] to a Parquet or CSV file, a folder or a glob in the source"


@dataclass(frozen=True)
class Table:
    """A table that nobody has read yet. `names` are its columns, in order; of a CSV, `text` is true."""

    frame: pl.LazyFrame
    names: tuple[str, ...]
    files: tuple[str, ...]
    digest: str  # sha256 over each file's name and bytes
    text: bool


def reason(error: Exception) -> str:
    """Return the first line of an error, for a message of one line."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def open_table(folder: Path, path: str, as_text: Iterable[str] = (), hint: str = SET_PATH) -> Table:
    """Open what `path` names inside `folder`.

    Of a CSV, the columns `as_text` stay text, for the schema to parse; the others are inferred
    from every row. Raises `StageFailure` when there is nothing to read, or it can't be read.
    """
    # A table may be larger than memory: no query takes more of it at a time than it needs.
    pl.Config.set_engine_affinity("streaming")
    files = _locate(folder, path, hint)
    formats = {file: _format(file, _shown(file, folder), hint) for file in files}
    first = files[0]
    for file, own in formats.items():
        if own != formats[first]:
            cause = f"{_shown(file, folder)} is {own}, but {_shown(first, folder)} is {formats[first]}"
            raise StageFailure(cause, hint)
    try:
        frame = _scan(files, formats[first], set(as_text), folder)
        names = tuple(frame.collect_schema().names())
        if not frame.select(pl.len()).collect().item():
            raise StageFailure(f"{path!r} has columns but no rows", "check what writes the file")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StageFailure(
            f"{path!r} can't be read as {formats[first]}: {reason(error)}", "check what writes the file"
        ) from error
    named = tuple(_shown(file, folder) for file in files)
    return Table(frame, names, named, _digest(files, named), formats[first] == "CSV")


def _shown(file: Path, folder: Path) -> str:
    return shown(file.relative_to(folder.resolve()))


def _locate(folder: Path, path: str, hint: str) -> list[Path]:
    root = folder.resolve()
    if Path(path).is_absolute() or not os.path.normpath(root / path).startswith(f"{root}{os.sep}"):
        raise StageFailure(f"path {path!r} is outside the source", hint)
    target = root / path
    if is_glob(path) and not target.exists():
        files = sorted(file for file in root.glob(path) if file.is_file())
        if not files:
            raise StageFailure(f"no file matches {path!r}", hint)
        return files
    if target.is_dir():
        files = sorted(file for file in target.rglob("*") if file.is_file() and is_table(file))
        if not files:
            raise StageFailure(f"folder {path!r} has no Parquet or CSV file", hint)
        return files
    if not target.exists():
        siblings = sorted(_shown(file, folder) for file in target.parent.glob("*"))
        close = nearest(path, siblings) if siblings else f"nor does its folder {str(Path(path).parent)!r}"
        raise StageFailure(f"path {path!r} does not exist ({close.removesuffix('?')})", hint)
    return [target]


def _format(file: Path, shown: str, hint: str) -> str:
    """Return Parquet where its magic bytes say so, whatever the name, and CSV for text that looks like it."""
    size = file.stat().st_size
    if not size:
        raise StageFailure(f"{shown} is empty (0 bytes)", "check what writes the file")
    with file.open("rb") as stream:
        head = stream.read(_SNIFF)
        stream.seek(max(0, size - len(_MAGIC)))
        tail = stream.read()
    if head.startswith(_MAGIC):
        if tail != _MAGIC:
            raise StageFailure(f"{shown} is a truncated Parquet file", "check what writes the file")
        return "Parquet"
    text = _decode(head, whole=size <= _SNIFF)
    named_csv = file.suffix.lower() == ".csv"
    named_parquet = file.suffix.lower() in {".parquet", ".pq"}
    if named_parquet or text is None:
        expected = "Parquet" if named_parquet else "CSV" if named_csv else None
        said = f"is named {file.suffix} but is not {expected}" if expected else "is neither Parquet nor CSV"
        raise StageFailure(f"{shown} {said}", hint)
    if not named_csv and not _looks_separated(text):
        raise StageFailure(f"{shown} is neither Parquet nor CSV", hint)
    _check_header(text, shown)
    return "CSV"


def _decode(head: bytes, *, whole: bool) -> str | None:
    """Return `head` as UTF-8 text, or None. A character may be cut in two at its end."""
    for cut in range(1 if whole else 4):
        try:
            text = head[: len(head) - cut].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        return None if "\0" in text else text
    return None


def _looks_separated(text: str) -> bool:
    widths = [len(row) for row in csv.reader(text.splitlines()[:3])]
    return len(widths) > 1 and widths[0] > 1 and widths[0] == widths[1]


def _check_header(text: str, shown: str) -> None:
    header = next(csv.reader(text.splitlines()), [])
    if len(header) == 1:
        for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in header[0]:
                raise StageFailure(f"{shown} is separated by {name}", "write the file with commas")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise StageFailure(f"{shown} has more than one column {twice[0]!r}", "give each column its own name")


def _scan(files: Sequence[Path], file_format: str, as_text: set[str], folder: Path) -> pl.LazyFrame:
    if file_format == "Parquet":
        frames = [pl.scan_parquet(file, glob=False) for file in files]
    else:
        frames = [in_parquet(_scan_csv(file, as_text)) for file in files]
    first = frames[0].collect_schema()
    seen: dict[str, tuple[str, Path]] = {}  # the type of each column, and a file that has it
    for file, frame in zip(files, frames, strict=True):
        types = types_of(frame)
        differs = set(first.names()) ^ set(types)
        if differs:
            raise StageFailure(
                f"{_shown(file, folder)} and {_shown(files[0], folder)} differ: column {min(differs)!r}",
                _ALIKE,
            )
        for name, here in types.items() if file_format == "Parquet" else ():  # a CSV's types are guesses
            if here == "empty":
                continue
            before, where = seen.setdefault(name, (here, file))
            if not compatible(here, before):
                raise StageFailure(
                    f"{_shown(file, folder)} and {_shown(where, folder)} differ: "
                    f"column {name!r} is {here} and {before}",
                    _ALIKE,
                )
    return pl.concat([frame.select(first.names()) for frame in frames], how="vertical_relaxed")


def _scan_csv(file: Path, as_text: set[str]) -> pl.LazyFrame:
    names = pl.scan_csv(file, infer_schema=False, glob=False).collect_schema().names()
    text = {name: pl.String for name in names if name in as_text}
    # All rows decide a column's type: what the first hundred look like would fail on row 101.
    return pl.scan_csv(file, schema_overrides=text, infer_schema_length=None, glob=False)


def in_parquet(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Write the rows of a CSV to a Parquet file and scan that, so that later queries parse no other columns.

    One file at a time: Polars would keep several in memory.
    """
    file = Path(tempfile.mkdtemp(prefix="parsed-")) / "table.parquet"
    frame.sink_parquet(file, compression="lz4", maintain_order=True)
    return pl.scan_parquet(file)


def _digest(files: Sequence[Path], names: Sequence[str]) -> str:
    total = hashlib.sha256()
    for file, name in zip(files, names, strict=True):
        with file.open("rb") as stream:
            total.update(f"{name}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
