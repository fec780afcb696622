"""Holdout rows in the two forms that an image takes: the .npz of its batch command, and JSON instances."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from ml_pipeline.columns.arrays import to_array
from ml_pipeline.columns.values import plain
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.gate.arrays import Array
from ml_pipeline.gate.documents import Instance
from ml_pipeline.model.signature import ColumnDocument

LARGE = 1 << 24  # bytes of an array of texts


def read_holdout(path: Path) -> pl.DataFrame:
    """Read the holdout's Parquet file: all columns, the target and the excluded ones too."""
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StageFailure(
            f"{path.name} can't be read as Parquet: {one_line(error)}", "split the data again"
        ) from None
    if frame.height == 0:
        raise StageFailure(
            "the holdout has no rows", "raise [tool.ml-pipeline.data] holdout, or name another file"
        )
    return frame


def features(
    frame: pl.DataFrame, columns: Sequence[ColumnDocument], what: str = "the holdout"
) -> dict[str, Array]:
    """Return one 1-D array [N] a feature, as the batch command reads it.

    Strings are objects, "" where missing; numbers float64 with NaN, or int64 when none is missing; booleans
    bool, or float64 with NaN; datetimes float64 seconds since 1970 in UTC, or NaN.
    """
    lacking = [column["name"] for column in columns if column["name"] not in frame.columns]
    if lacking:
        raise StageFailure(
            f"{what} lacks column {lacking[0]!r}, which the model reads",
            f"give {what} the columns of the training data, or train again",
        )
    return {column["name"]: _array(frame[column["name"]], column["type"], what) for column in columns}


def _array(column: pl.Series, column_type: str, what: str) -> Array:
    try:
        return to_array(column, column_type, exact=True)
    except pl.exceptions.PolarsError as error:
        cause = f"column {column.name!r} of {what} is not all {column_type}: {one_line(error)}"
        raise StageFailure(cause, "fix the data, or its entry in [tool.ml-pipeline.data.columns]") from None


def instances(
    arrays: Mapping[str, Array], columns: Sequence[ColumnDocument], rows: Sequence[int]
) -> list[Instance]:
    """Return `rows` of the arrays as JSON instances, null if a value is missing."""
    names = [column["name"] for column in columns]
    values = [plain(arrays[column["name"]][list(rows)], column["type"]) for column in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def sample(rows: int, size: int) -> list[int]:
    """Return at most `size` row numbers, spread evenly over `rows`, the same ones every time."""
    return sorted(set(np.linspace(0, rows - 1, min(rows, size)).round().astype(int).tolist()))


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays under any names. (To `numpy.savez` a column called "file" is an argument.)"""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            if array.dtype == object:
                _write_texts(archive, f"{name}.npy", array)
                continue
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def _write_texts(archive: zipfile.ZipFile, name: str, texts: Array) -> None:
    """Write objects as an array of fixed width, which every image reads: an .npz of objects is not read.

    One long text makes all others as wide: so a large array is compressed, and never in memory as a whole.
    """
    width = max(1, *(len(text) for text in texts)) if len(texts) else 1
    member = zipfile.ZipInfo(name)
    if 4 * width * len(texts) > LARGE:
        member.compress_type = zipfile.ZIP_DEFLATED
    rows = max(1, LARGE // (4 * width))
    with archive.open(member, "w", force_zip64=True) as stream:
        header = {"descr": f"<U{width}", "fortran_order": False, "shape": (len(texts),)}
        np.lib.format.write_array_header_1_0(stream, header)
        for start in range(0, len(texts), rows):
            stream.write(np.array(texts[start : start + rows].tolist(), f"<U{width}").tobytes())


def read_npz(path: Path) -> dict[str, Array]:
    """Read arrays by name; nothing is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        cause = f"{path.name} is not an .npz file of plain arrays: {one_line(error)}"
        raise StageFailure(cause, "write it with the image's batch command") from None
