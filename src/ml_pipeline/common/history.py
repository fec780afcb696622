"""The history.csv that a training may write: one row for each epoch, a column for each measure."""

import csv
import io
from collections.abc import Iterator

STEPS = ("epoch", "step")  # columns that number the rows


def read_history(text: str) -> list[dict[str, float]]:
    """Return the numbers of each row, by the names of their columns; cells that are no numbers are left out.

    Any program wrote it: it may begin with a byte-order mark, have no header, or have texts of any length.
    """
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    csv.field_size_limit(max(csv.field_size_limit(), len(plain) + 1))
    lines = [line for line in csv.reader(io.StringIO(plain)) if line]
    if not lines:
        return []
    names = [name.strip() for name in lines[0]]
    if all(_number(name) is not None for name in names):
        names = [f"column {number}" for number in range(1, len(names) + 1)]
    else:
        del lines[0]
    return [dict(_numbers(names, line)) for line in lines]


def _numbers(names: list[str], line: list[str]) -> Iterator[tuple[str, float]]:
    for name, cell in zip(names, line, strict=False):
        value = _number(cell)
        if name and value is not None:
            yield name, value


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
