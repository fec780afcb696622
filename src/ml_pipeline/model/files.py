"""The batch command's files: columns from .npz or CSV in pieces, predictions to .npz or CSV."""

import csv
import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol, cast

import numpy as np
from numpy.lib.npyio import NpzFile

from ml_pipeline.columns import text as texts
from ml_pipeline.columns.types import MICROSECONDS, NUMBERS
from ml_pipeline.columns.values import Array
from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.model.loaded import Answer
from ml_pipeline.model.signature import Column, Label
from ml_pipeline.model.values import BadInput, from_values, require

SUFFIXES = (".npz", ".csv")
_LARGE = 1 << 24  # bytes of an array of texts
_LINES = 20  # from which a CSV's separator is found
_GIVE = "give the file the model's columns"


def read(path: Path, columns: Sequence[Column], size: int) -> Iterator[dict[str, Array]]:
    """Yield pieces of at most `size` rows, as columns. The file's other columns are ignored.

    Raises `StageFailure` where the file can't be read, and `BadInput` for a wrong value; its row counts
    from 0 in its piece.
    """
    try:
        yield from (_read_npz if path.suffix.lower() == ".npz" else _read_csv)(path, columns, size)
    except OSError as error:
        raise StageFailure(f"{path} can't be read ({error.strerror or error})", "name another file") from None


def _read_npz(path: Path, columns: Sequence[Column], size: int) -> Iterator[dict[str, Array]]:
    hint = "write it with numpy.savez: one 1-D array for each column, no object arrays"
    try:
        archive = np.load(path, allow_pickle=False)
        if not hasattr(archive, "files"):
            raise StageFailure(f"{path} is one array, not named columns", hint)
        with archive:
            # NumPy takes ".npy" off the names, so that a column "a.npy" would be the file of a column "a".
            packed = cast("zipfile.ZipFile", archive.zip)
            files = {file.removesuffix(".npy"): file for file in packed.namelist()}
            _require_columns(path, columns, list(files))
            arrays = {column.name: _member(archive, packed, files[column.name]) for column in columns}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise StageFailure(f"{path} is not an .npz file of plain arrays ({error})", hint) from None
    for column in columns:
        arrays[column.name] = _typed(column, arrays[column.name], path)
    lengths = {name: len(array) for name, array in arrays.items()}
    rows = max(lengths.values())
    short = [name for name, length in lengths.items() if length != rows]
    if short:
        cause = f"{path} has {lengths[short[0]]} rows of {short[0]!r} and {rows} of other columns"
        raise StageFailure(cause, hint)
    for start in range(0, rows, size):
        piece = {name: array[start : start + size] for name, array in arrays.items()}
        require(columns, piece)
        yield piece


def _member(archive: NpzFile, files: zipfile.ZipFile, name: str) -> Array:
    """Return an array of the archive; long texts as objects, never all of them at their common width."""
    with files.open(name) as stream:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            (rows, *others), _, dtype = np.lib.format.read_array_header_1_0(stream)
            if dtype.kind == "U" and not others and rows * dtype.itemsize > _LARGE:
                texts: list[str] = []
                while piece := stream.read(max(1, _LARGE // dtype.itemsize) * dtype.itemsize):
                    texts += np.frombuffer(piece, dtype).tolist()
                return np.array(texts, dtype=object)
    array: Array = archive[name]
    return array


def _typed(column: Column, array: Array, path: Path) -> Array:
    """Return an array of the file in the form that `columns.types` has for its column's type."""
    array = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    kind = array.dtype.kind
    if array.ndim == 1 and column.type == "string" and kind in "UO":
        return array.astype(object)
    if array.ndim == 1 and column.type == "datetime" and kind == "M":
        seconds = array.astype("datetime64[us]").astype(np.int64) / MICROSECONDS
        return np.where(np.isnat(array), math.nan, seconds)
    if array.ndim == 1 and column.type != "string" and kind in "fiub":
        if kind in "iu":
            return array.astype(np.int64 if array.dtype != np.uint64 else np.float64)
        if kind == "b":
            return array
        numbers = array.astype(np.float64)
        return np.where(np.isinf(numbers), math.nan, numbers)  # as in training
    cause = f"{path} has column {column.name!r} as {array.dtype} {list(array.shape)}, not {column.type} [N]"
    raise StageFailure(cause, _GIVE)


def _read_csv(path: Path, columns: Sequence[Column], size: int) -> Iterator[dict[str, Array]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        try:
            first = [line for _, line in zip(range(_LINES), stream, strict=False)]
            stream.seek(0)
            lines = csv.reader(stream, delimiter=texts.separator(first))
            header = next(lines, [])
            _require_columns(path, columns, header)
            places = [header.index(column.name) for column in columns]
            rows: list[list[str]] = []
            for row in lines:
                if len(row) != len(header):
                    if not row:  # a blank line
                        continue
                    cause = f"{path} line {lines.line_num} has {len(row)} fields, the header {len(header)}"
                    raise StageFailure(cause, "fix the file")
                rows.append(row)
                if len(rows) == size:
                    yield _parsed(columns, places, rows)
                    rows = []
            if rows:
                yield _parsed(columns, places, rows)
        except (csv.Error, UnicodeDecodeError) as error:
            raise StageFailure(f"{path} is not CSV in UTF-8 ({error})", "fix the file") from None


def _parsed(columns: Sequence[Column], places: Sequence[int], rows: Sequence[list[str]]) -> dict[str, Array]:
    return {
        column.name: from_values(column, [_value(column, row[place]) for row in rows])
        for column, place in zip(columns, places, strict=True)
    }


def _value(column: Column, text: str) -> str | float | bool | None:
    """Return a field in the column's type, None if it is missing, by the rules of the training data.

    Text of another type stays text, and is refused.
    """
    if column.type == "string":
        return text or None
    if texts.is_missing(text) or text.strip() in map(str, column.missing):
        return None
    if column.type == "boolean":
        return texts.BOOLEANS.get(text.strip().lower(), text)
    if column.type in NUMBERS:
        read = texts.integer if column.type == "integer" else texts.number
        value = read(text, column.decimal)
        if isinstance(value, float) and math.isinf(value):
            return None  # as in training
        return text if value is None else value
    return text.strip() if column.format else _time(text.strip())


def _time(text: str) -> str | float:
    """Return seconds since 1970 where a text is a number of them."""
    value = texts.number(text)
    return text if value is None else value


def _require_columns(path: Path, columns: Sequence[Column], names: Sequence[str]) -> None:
    for column in columns:
        if column.name not in names:
            raise StageFailure(f"{path} lacks column {column.name!r} ({nearest(column.name, names)})", _GIVE)


class Sink(Protocol):
    """Takes answers, piece by piece, and writes them."""

    def add(self, answer: Answer) -> None:
        """Take the answers to the next rows."""


class _CsvSink:
    def __init__(self, stream: IO[str], classes: Sequence[Label]) -> None:
        self._writer, self._classes = csv.writer(stream, lineterminator="\n"), classes
        self._has_header = False

    def add(self, answer: Answer) -> None:
        if not self._has_header:
            names = [] if answer.probabilities is None else [f"p_{name}" for name in self._classes]
            self._writer.writerow(["prediction", *names])
            self._has_header = True
        if answer.probabilities is None:
            self._writer.writerows([value] for value in answer.predictions)
        else:
            both = zip(answer.predictions, answer.probabilities.tolist(), strict=True)
            self._writer.writerows([value, *row] for value, row in both)


class _NpzSink:
    def __init__(self) -> None:
        self._answers: list[Answer] = []

    def add(self, answer: Answer) -> None:
        self._answers.append(answer)

    def write(self, stream: IO[bytes]) -> None:
        values = [value for answer in self._answers for value in answer.predictions]
        pieces = [answer.probabilities for answer in self._answers if answer.probabilities is not None]
        if len(pieces) < len(self._answers):
            np.savez(stream, predictions=np.array(values))
        else:
            np.savez(stream, predictions=np.array(values), probabilities=np.concatenate(pieces))


@contextmanager
def sink(path: Path, classes: Sequence[Label]) -> Iterator[Sink]:
    """Open `path` for answers. The file appears once all are written, or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".csv":
            with part.open("w", encoding="utf-8", newline="") as text:
                yield _CsvSink(text, classes)
        else:
            with part.open("wb") as binary:
                npz = _NpzSink()
                yield npz
                npz.write(binary)
        part.replace(path)
    except OSError as error:
        cause = f"{path} can't be written ({error.strerror or error})"
        raise StageFailure(cause, "name another file") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def placed(error: BadInput, offset: int) -> str:
    """Return the error's text, with the row's number in the whole file, from 1."""
    if error.row is None:
        return str(error)
    return (
        f"row {offset + error.row + 1}, column {error.column!r}: expected {error.expected}, got {error.got}"
    )
