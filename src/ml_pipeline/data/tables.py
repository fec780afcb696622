"""Find and open the table that a project names: a file, a folder or a glob."""

import hashlib
import os
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ml_pipeline.columns.polars_types import types_of
from ml_pipeline.columns.types import compatible
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data import files as formats
from ml_pipeline.data import partitions, temporary
from ml_pipeline.data.files import AS_SHOWN, Format, Reading, Source
from ml_pipeline.data.paths import is_glob, is_meant, is_table, shown

_ALIKE = "give all files of the table the same columns"
_RENAME = "rename the column in the file"
_SMALL = 100_000_000  # bytes of text that are kept in memory as columns
_LONGEST = 500  # bytes of a name, which is also that of a file in an archive
# Types that Arrow's users add, such as JSON, are what they are stored as: text, here.
warnings.filterwarnings("ignore", "Extension type .* is not registered; loading as its storage type")
SET_PATH = "set path under [tool.ml-pipeline.data] to a Parquet or CSV file, a folder or a glob in the source"


@dataclass(frozen=True)
class Table:
    """A table that nobody has read yet. `names` are its columns, in order.

    Of a CSV all columns are text, `format` is "CSV" and `separator` is what separates its fields.
    `left_out` are nameless columns of row numbers; of a small table the rows fit into memory.
    """

    frame: pl.LazyFrame
    names: tuple[str, ...]
    files: tuple[str, ...]
    digest: str  # sha256 over each file's name and bytes
    format: Format
    separator: str = ","
    left_out: tuple[str, ...] = ()
    is_small: bool = False

    @property
    def text(self) -> bool:
        """Whether the values are text, whose meaning is still to be decided."""
        return self.format == "CSV"


def reason(error: Exception) -> str:
    """Return the first line of an error, for a message of one line."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def open_table(folder: Path, path: str, reading: Reading = AS_SHOWN, hint: str = SET_PATH) -> Table:
    """Open what `path` names inside `folder`.

    Raises `StageFailure` when there is nothing to read, or it can't be read.
    """
    # A table may be larger than memory: no query takes more of it at a time than it needs.
    pl.Config.set_engine_affinity("streaming")
    files = _locate(folder, path, hint)
    sources = {file: formats.source(file, _shown(file, folder), reading, hint) for file in files}
    first = sources[files[0]]
    for file, own in sources.items():
        if own.format != first.format:
            cause = (
                f"{_shown(file, folder)} is {own.format}, but {_shown(files[0], folder)} is {first.format}"
            )
            raise StageFailure(cause, hint)
    try:
        is_small = sum(source.path.stat().st_size for source in sources.values()) < _SMALL
        frame = _scan(sources, folder, in_memory=is_small)
        if not frame.select(pl.len()).collect().item():
            raise StageFailure(f"{path!r} has columns but no rows", "check what writes the file")
        frame, left_out = _named(frame, path, is_text=first.format == "CSV")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StageFailure(
            f"{path!r} can't be read as {first.format}: {reason(error)}", "check what writes the file"
        ) from error
    named = tuple(_shown(file, folder) for file in files)
    digest, names = _digest(files, named), tuple(frame.collect_schema().names())
    return Table(frame, names, named, digest, first.format, first.separator, left_out, is_small)


def _shown(file: Path, folder: Path) -> str:
    return shown(file.relative_to(folder.resolve()))


def _locate(folder: Path, path: str, hint: str) -> list[Path]:
    root = folder.resolve()
    if Path(path).is_absolute() or not os.path.normpath(root / path).startswith(f"{root}{os.sep}"):
        raise StageFailure(f"path {path!r} is outside the source", hint)
    target = root / path
    if is_glob(path) and not target.exists():
        files = sorted(
            file for file in root.glob(path) if file.is_file() and is_meant(file.relative_to(root), path)
        )
        if not files:
            raise StageFailure(f"no file matches {path!r}", hint)
        return files
    if target.is_dir():
        files = sorted(
            file for file in target.rglob("*") if file.is_file() and is_table(file.relative_to(target))
        )
        if not files:
            raise StageFailure(f"folder {path!r} has no Parquet or CSV file", hint)
        return files
    if not target.exists():
        siblings = sorted(_shown(file, folder) for file in target.parent.glob("*"))
        close = nearest(path, siblings) if siblings else f"nor does its folder {str(Path(path).parent)!r}"
        raise StageFailure(f"path {path!r} does not exist ({close.removesuffix('?')})", hint)
    return [target]


def _scan(sources: Mapping[Path, Source], folder: Path, *, in_memory: bool) -> pl.LazyFrame:
    files = list(sources)
    frames = [_scan_file(each, in_memory=in_memory) for each in sources.values()]
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
        for name, here in types.items():
            if here == "empty":
                continue
            before, where = seen.setdefault(name, (here, file))
            if not compatible(here, before):
                raise StageFailure(
                    f"{_shown(file, folder)} and {_shown(where, folder)} differ: "
                    f"column {name!r} is {here} and {before}",
                    _ALIKE,
                )
    places = [file.relative_to(folder.resolve()) for file in files]
    frames = [frame.select(pl.nth(_places(frame, first.names()))) for frame in frames]
    frames = partitions.added(frames, places, is_text=sources[files[0]].format == "CSV")
    return pl.concat(frames, how="vertical_relaxed")


def _places(frame: pl.LazyFrame, names: Sequence[str]) -> list[int]:
    own = {name: place for place, name in enumerate(frame.collect_schema().names())}
    return [own[name] for name in names]


def _scan_file(source: Source, *, in_memory: bool) -> pl.LazyFrame:
    if source.format == "Parquet":
        return pl.scan_parquet(source.path, glob=False, hive_partitioning=False)
    if source.format == "JSON lines":
        rows = pl.scan_ndjson(source.path, infer_schema_length=None)
        return parsed_once(rows, in_memory=in_memory)
    # As text: what a column's texts mean is decided over all files, and in a third of the time.
    rows = pl.scan_csv(source.path, separator=source.separator, infer_schema=False, glob=False)
    names = rows.collect_schema().names()
    if len(names) == len(source.header):  # Polars leaves doubled quotes in them
        rows = rows.select(pl.nth(place).alias(name) for place, name in enumerate(source.header))
    filled = rows.filter(~pl.all_horizontal(pl.all().is_null()))  # without blank lines
    return parsed_once(filled, in_memory=in_memory)


def _named(frame: pl.LazyFrame, path: str, *, is_text: bool) -> tuple[pl.LazyFrame, tuple[str, ...]]:
    """Return the table without a nameless index; refuse names that mean something else further on."""
    names = frame.collect_schema().names()
    left_out: tuple[str, ...] = ()
    if is_text and "" in names and len(names) > 1:
        place = names.index("")
        if not _is_row_number(frame.select(pl.nth(place).alias("text"))):
            cause = f"{path!r} has no name for column {place + 1}, which is not a row number"
            raise StageFailure(cause, "write a name into the first line of the file")
        frame = frame.select(pl.nth([other for other in range(len(names)) if other != place]))
        left_out, names = (f"column {place + 1}",), [name for name in names if name]
    for name in names:
        if fault := _fault(name):
            raise StageFailure(f"{path!r} has a column {name[:60]!r}, whose name {fault}", _RENAME)
    return frame, left_out


def _is_row_number(column: pl.LazyFrame) -> bool:
    """Return whether a column has no value at all, or the rows' numbers."""
    step = pl.col("text").cast(pl.Int64, strict=False).diff()
    counted = column.select(pl.col("text").count(), steps=(step == 1).sum(), rows=pl.len()).collect()
    values, steps, rows = counted.row(0)
    return not values or (values == rows and steps == rows - 1)


def _fault(name: str) -> str | None:
    if not name.strip():
        return "is empty"
    if name == "*" or (name.startswith("^") and name.endswith("$")):
        return "is a pattern that stands for other columns"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "has a control character"
    return f"is longer than {_LONGEST} bytes" if len(name.encode()) > _LONGEST else None


def parsed_once(frame: pl.LazyFrame, *, in_memory: bool) -> pl.LazyFrame:
    """Keep the rows of a text file as columns, so that later queries parse no other columns.

    They are in a Parquet file unless they are few. One file at a time: Polars would keep several in memory.
    """
    if in_memory:
        return frame.collect(engine="in-memory").lazy()
    file = temporary.file(".parquet")
    frame.sink_parquet(file, compression="lz4", maintain_order=True)
    return pl.scan_parquet(file, hive_partitioning=False)


def _digest(files: Sequence[Path], names: Sequence[str]) -> str:
    total = hashlib.sha256()
    for file, name in zip(files, names, strict=True):
        with file.open("rb") as stream:
            total.update(f"{name}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
