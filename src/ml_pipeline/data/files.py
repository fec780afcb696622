"""What a file is, and its text in UTF-8: formats, compression, encodings, separators."""

import csv
import gzip
import io
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, cast

from ml_pipeline.columns import text
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.data import temporary
from ml_pipeline.data.paths import JSON_LINES, PARQUET, TABS, TEXT

Format = Literal["Parquet", "CSV", "JSON lines"]
_PARQUET, _GZIP, _ZIP, _OLD_EXCEL = b"PAR1", b"\x1f\x8b", b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SNIFF = 1 << 16
_LINES = 20  # from which the separator is found
_CHECK = "check what writes the file"


@dataclass(frozen=True)
class Reading:
    """[data]'s keys for files of text; None: as the file shows."""

    separator: str | None = None
    encoding: str | None = None


AS_SHOWN = Reading()


@dataclass(frozen=True)
class Source:
    """A file that can be scanned: Parquet, or text in UTF-8 that is not compressed."""

    path: Path
    format: Format
    separator: str = ","
    header: tuple[str, ...] = ()  # of a CSV


def source(file: Path, shown: str, reading: Reading, hint: str) -> Source:
    """Return a file as Polars can scan it: text is unpacked and decoded into a temporary file.

    What it is, its bytes decide and not its name. Raises StageFailure, which names what it is.
    """
    size = file.stat().st_size
    if not size:
        raise StageFailure(f"{shown} is empty (0 bytes)", _CHECK)
    with file.open("rb") as stream:
        head = stream.read(_SNIFF)
        stream.seek(max(0, size - len(_PARQUET)))
        tail = stream.read()
    suffix = "".join(file.suffixes[-2:]).lower()
    if head.startswith(_PARQUET):
        if tail != _PARQUET:
            raise StageFailure(f"{shown} is a truncated Parquet file", _CHECK)
        return Source(file, "Parquet")
    if suffix.endswith(PARQUET):
        raise StageFailure(f"{shown} is named {file.suffix} but is not Parquet", hint)
    if head.startswith((_ZIP, _OLD_EXCEL)):
        is_excel = suffix.endswith((".xlsx", ".xls", ".xlsm", ".ods")) or not head.startswith(_ZIP)
        what, advice = (
            ("an Excel workbook", "save the sheet as CSV") if is_excel else ("a zip archive", "unpack it")
        )
        raise StageFailure(f"{shown} is {what}", f"{advice}, and set path to that file")
    try:
        return _text(file, head, shown, suffix, reading, hint, whole=size <= _SNIFF)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StageFailure(f"{shown} is a damaged gzip file ({error})", _CHECK) from None


def _text(
    file: Path, head: bytes, shown: str, suffix: str, reading: Reading, hint: str, *, whole: bool
) -> Source:
    packed = head.startswith(_GZIP)
    if packed:
        suffix = suffix.removesuffix(".gz")
        with gzip.open(file) as stream:
            head = stream.read(_SNIFF)
            whole = not stream.read(1)
    is_json, named = suffix.endswith(JSON_LINES), suffix.endswith(TEXT)
    encoding = reading.encoding or ("utf-16" if head.startswith(_UTF16) else "utf-8-sig")
    try:
        content = _decode(head, encoding, whole=whole)
    except LookupError:
        raise StageFailure(
            f"data.encoding = {encoding!r} is not an encoding", 'use one such as "cp1252"'
        ) from None
    if content is None:
        if named and b"\0" not in head:
            at = _first_bad_line(head)
            cause = (
                f"{shown} is not text in UTF-8 (line {at})"
                if encoding == "utf-8-sig"
                else f"{shown} is not {encoding}"
            )
            advice = 'set encoding under [tool.ml-pipeline.data], such as "cp1252" (Western Europe, Windows)'
            raise StageFailure(cause, advice)
        raise StageFailure(f"{shown} is neither Parquet nor CSV", hint)
    lines = content.splitlines()
    separator = reading.separator or ("\t" if suffix.endswith(TABS) else text.separator(lines[:_LINES]))
    if not named and not _looks_separated(lines, separator):
        raise StageFailure(f"{shown} is neither Parquet nor CSV", hint)
    if packed or encoding != "utf-8-sig":
        file = _decoded(file, encoding, shown, packed=packed)
    if is_json:
        return Source(file, "JSON lines")
    return Source(file, "CSV", separator, _header(content, shown, separator))


def _decode(head: bytes, encoding: str, *, whole: bool) -> str | None:
    """Return the beginning of a text, or None. A character may be cut in two at its end."""
    for cut in range(1 if whole else 4):
        try:
            content = head[: len(head) - cut].decode(encoding)
        except UnicodeError:
            continue
        return None if "\0" in content else content
    return None


def _first_bad_line(head: bytes) -> int:
    try:
        head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return head[: error.start].count(b"\n") + 1
    return 1


def _decoded(file: Path, encoding: str, shown: str, *, packed: bool) -> Path:
    """Write the file's text in UTF-8 to a temporary file; return its path."""
    copy = temporary.file(".csv")
    opened = cast("IO[bytes]", gzip.open(file) if packed else file.open("rb"))  # noqa: SIM115 - `lines` closes it
    with (
        io.TextIOWrapper(opened, encoding=encoding, newline="") as lines,
        copy.open("w", encoding="utf-8", newline="") as out,
    ):
        try:
            shutil.copyfileobj(lines, out)
        except UnicodeError as error:
            raise StageFailure(
                f"{shown} is not {encoding} ({error})", "change encoding under [tool.ml-pipeline.data]"
            ) from None
    return copy


def _looks_separated(lines: list[str], separator: str) -> bool:
    widths = [len(row) for row in csv.reader(lines[:3], delimiter=separator)]
    return len(widths) > 1 and widths[0] > 1 and widths[0] == widths[1]


def _header(content: str, shown: str, separator: str) -> tuple[str, ...]:
    lines = csv.reader(io.StringIO(content), delimiter=separator)
    header = next((row for row in lines if row), [])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise StageFailure(f"{shown} has more than one column {twice[0]!r}", "give each column its own name")
    return tuple(header)
