"""What a text in a table means as a value: the same when data is read and when the image answers a file.

Standard library only: the serving image has no Polars. The data stages convert plain numbers with Polars,
and ask here for whatever is not one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Decimal = Literal[".", ","]

# Texts that stand for a missing value in a column of numbers, booleans or times, in any case of letters.
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "\\n", "?", "-", "--", "."})
BOOLEANS: Mapping[str, bool] = {"true": True, "1": True, "1.0": True,
                                "false": False, "0": False, "0.0": False}  # fmt: skip
SEPARATORS: Mapping[str, str] = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
CURRENCIES = "$€£¥₹"

_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?inf(?:inity)?", re.ASCII | re.IGNORECASE)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
# Groups of three digits with one separator: a comma, a space of any width, or an apostrophe.
_GROUPED = re.compile(r"([+-]?\d{1,3})(?:([, \u00a0\u202f'\u2019])\d{3})(?:\2\d{3})*(?:\.\d*)?", re.ASCII)
_SWAP = str.maketrans(",.", ".,")


@dataclass(frozen=True)
class TextRules:
    """How a project's texts are read beyond the rules for all: what its training data needed."""

    missing: tuple[str | int | float | bool, ...] = ()  # stand for a missing value in any column
    commas: frozenset[str] = frozenset()  # columns of numbers with a decimal comma
    formats: Mapping[str, str] = field(default_factory=dict)  # of times that are not ISO 8601, by column

    @property
    def texts(self) -> frozenset[str]:
        """The missing values as texts."""
        return frozenset(str(value) for value in self.missing)

    @property
    def numbers(self) -> frozenset[float]:
        """Those that are numbers."""
        values = (number(str(value)) for value in self.missing)
        return frozenset(float(value) for value in values if value is not None)


NO_RULES = TextRules()


def number(text: str, decimal: Decimal = ".") -> int | float | None:
    """Return the number that a text is, None if it is not one.

    Besides plain numbers: a sign, groups of three digits ("1,940"), a currency ("$5"), a percentage ("4.1%"
    is 0.041). Where `decimal` is a comma, "1.940,5" is 1940.5.
    """
    text = text.strip().replace("\u2212", "-")
    if decimal == ",":
        text = text.translate(_SWAP)
    is_percentage = text.endswith("%")
    text = text.removesuffix("%").rstrip()
    sign = text[:1] if text[:1] in {"+", "-"} else ""
    amount = text.removeprefix(sign).strip(CURRENCIES).strip() if any(c in text for c in CURRENCIES) else None
    text = text if amount is None else sign + amount
    grouped = _GROUPED.fullmatch(text)
    if grouped:
        text = text.replace(grouped[2], "")
    if not _PLAIN.fullmatch(text):
        return None
    if is_percentage:
        return float(text) / 100 if "e" in text.lower() else float(f"{text}e-2")  # 4.1 / 100 is not 0.041
    return int(text) if _INTEGER.fullmatch(text) else float(text)


def plain(text: str) -> float | None:
    """Return the number that a text is without any sign but its own, None if it is not one."""
    return float(text) if _PLAIN.fullmatch(text.strip()) else None


def integer(text: str, decimal: Decimal = ".") -> int | None:
    """Return the whole number of 64 bits that a text is, None if it is not one."""
    value = number(text, decimal)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and -(2**63) <= value < 2**63 else None


def time(text: str, form: str) -> datetime | None:
    """Return the time that a text is in a format of Python's strptime, None if it is not one."""
    try:
        value = datetime.strptime(text.strip(), form)  # without a zone it is in UTC
    except ValueError:
        return None
    return value


def is_missing(text: str) -> bool:
    """Return whether a text stands for a missing value among numbers, booleans or times."""
    return text.strip().lower() in MISSING


def separator(lines: Sequence[str]) -> str:
    """Return what separates the fields of a CSV, by its first lines: the one that cuts all of them alike.

    A comma where none does.
    """
    lines = [line for line in lines if line.strip()]
    best, width = ",", 1
    for candidate in SEPARATORS:
        widths = {len(_fields(line, candidate)) for line in lines}
        if len(widths) == 1 and min(widths) > width:
            best, width = candidate, min(widths)
    return best


def _fields(line: str, by: str) -> list[str]:
    """Split outside of quotes. (A quoted line break is not seen: the first lines are enough.)"""
    return re.split(f'{re.escape(by)}(?=(?:[^"]*"[^"]*")*[^"]*$)', line)
