"""The type of each column of a table of text, decided once over all rows of all files.

Plain numbers are counted by Polars. What is not plain ("1,940", "4.1%", a decimal comma) is decided by
`columns.text` on the distinct values, and is a number only where every value is one and nothing else is
meant: else the column stays text, and `oddities` says what to set.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ml_pipeline.columns import text
from ml_pipeline.columns.text import CURRENCIES, Decimal
from ml_pipeline.columns.types import TableType
from ml_pipeline.data.parsing import ISO, distinct_texts, parsed, present

SAMPLE = 1_000  # rows that show whether a column may be anything but text
_BEYOND = r"^\s*[+-]?\d{19,}\s*$"  # digits that 64 bits may not hold


@dataclass(frozen=True)
class Inferred:
    """A column's type.

    `plain`: Polars converts every text as it is. `comma`: numbers have a decimal comma. `big`: whole numbers
    that 64 bits can't hold, which stay text.
    """

    type: TableType
    plain: bool = False
    comma: bool = False
    big: bool = False


def infer(frame: pl.LazyFrame, separator: str = ",", decimal: Decimal | None = None) -> dict[str, Inferred]:
    """Return the type of each column of text. Missing values decide nothing.

    Without `decimal` a comma in numbers is what the file's separator and the other values make certain.
    """
    names = frame.collect_schema().names()
    if not names:
        return {}
    counts = _plain_numbers(frame, names)
    types: dict[str, Inferred] = {}
    rest = []
    for name, (values, integers, numbers) in counts.items():
        if not values:
            types[name] = Inferred("empty")
        elif integers == values:
            types[name] = Inferred("integer", plain=True)
        elif numbers == values:
            types[name] = Inferred("number", plain=True)
        else:
            rest.append(name)
    types |= _others(frame, rest, separator, decimal)
    commas = decimal == "," or any(found.comma for found in types.values())
    for name, found in types.items():
        if found.type == "number" and not found.comma:
            types[name] = _again(frame, name, found, commas=commas)
    return {name: types[name] for name in names}


def _plain_numbers(frame: pl.LazyFrame, names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Return how many values of each column are texts, integers of 64 bits, and numbers."""
    columns = [pl.nth(place) for place in range(len(names))]
    parts = {
        f"{place} {kind}": count
        for place, column in enumerate(columns)
        for kind, count in (
            ("texts", column.count()),
            ("integers", column.cast(pl.Int64, strict=False).count()),
        )
    }
    counts = frame.select(**parts).collect().row(0, named=True)
    # Most columns are of integers or of texts: the slower conversion is for what is left.
    left = [place for place in range(len(names)) if counts[f"{place} integers"] < counts[f"{place} texts"]]
    numbers = {f"{place} numbers": columns[place].cast(pl.Float64, strict=False).count() for place in left}
    if numbers:
        counts |= frame.select(**numbers).collect().row(0, named=True)
    return {
        name: (
            counts[f"{place} texts"],
            counts[f"{place} integers"],
            counts.get(f"{place} numbers", counts[f"{place} integers"]),
        )
        for place, name in enumerate(names)
    }


def _others(
    frame: pl.LazyFrame, names: Sequence[str], separator: str, decimal: Decimal | None
) -> dict[str, Inferred]:
    """Decide the columns that are not all plain numbers."""
    types = {}
    sample = frame.select(names).head(SAMPLE).collect() if names else pl.DataFrame()
    for series in sample:
        candidates = _candidates(series)
        found = Inferred("string")
        if candidates:
            found = _whole(frame.select(series.name), series.name, candidates, separator, decimal)
        types[series.name] = found
    return types


def _candidates(sample: pl.Series) -> set[str]:
    """Return the types besides string that the column may have, by its first values."""
    values = [value.strip() for value in sample.drop_nulls().unique() if not text.is_missing(value)]
    candidates = set()
    if all(value.lower() in {"true", "false"} for value in values):
        candidates.add("boolean")
    if all(text.number(value) is not None or text.number(value, ",") is not None for value in values):
        candidates.add("number")
    if all(ISO.match(value) for value in values):
        candidates.add("datetime")
    return candidates


def _whole(
    frame: pl.LazyFrame, name: str, candidates: set[str], separator: str, decimal: Decimal | None
) -> Inferred:
    """Decide a column by all of its values."""
    distinct = distinct_texts(frame, name)
    rows = frame if distinct is None else distinct.to_frame().lazy()
    values, value = rows.select(present(pl.col(name)).alias(name)), pl.col(name)
    is_number = value.cast(pl.Float64, strict=False).is_not_null()
    counted = {"values": value.count(), "integers": value.cast(pl.Int64, strict=False).count()}
    counted["numbers"] = is_number.sum()
    if "boolean" in candidates:
        counted["booleans"] = value.str.to_lowercase().is_in(["true", "false"]).sum()
    if "datetime" in candidates:
        counted["datetimes"] = parsed(value, "datetime").count()
    counts = values.select(**counted).collect().row(0, named=True)
    if not counts["values"]:
        return Inferred("empty")
    for column_type in ("integer", "number", "boolean", "datetime"):
        if counts.get(f"{column_type}s") == counts["values"]:
            return Inferred(column_type)  # one of these four
    if "number" not in candidates:
        return Inferred("string")
    odd = values.filter(value.is_not_null() & ~is_number).unique().collect()[name].to_list()
    dotted = values.filter(value.str.contains(".", literal=True)).unique().collect()[name].to_list()
    return _odd_numbers(odd, dotted, counts["numbers"], separator, decimal)


def _odd_numbers(
    odd: Sequence[str], dotted: Sequence[str], plain: int, separator: str, decimal: Decimal | None
) -> Inferred:
    """Decide a column by its values that are no plain numbers, `odd`, and by those with a dot."""
    currencies = {character for value in odd for character in value if character in CURRENCIES}
    percentages = sum(value.endswith("%") for value in odd)
    if len(currencies) > 1 or (percentages and (plain or percentages < len(odd))):
        return Inferred("string")
    readings: dict[Decimal, list[int | float | None]] = {
        ".": [text.number(value) for value in odd],
        ",": [text.number(value, ",") for value in {*odd, *dotted}],
    }
    possible: list[Decimal] = [sign for sign, values in readings.items() if None not in values]
    if decimal in possible:
        chosen = decimal
    elif len(possible) == 1:
        chosen = possible[0]
    elif possible and separator != ";":
        chosen = "."
    else:
        return Inferred("string")
    whole = all(isinstance(value, int) and _fits(value) for value in readings[chosen])
    return Inferred("integer" if whole and not (dotted and chosen == ".") else "number", comma=chosen == ",")


def _again(frame: pl.LazyFrame, name: str, found: Inferred, *, commas: bool) -> Inferred:
    """Look once more at numbers: whole ones beyond 64 bits are names, and "1.940" may be 1940."""
    value = pl.col(name)
    big = value.str.contains(_BEYOND) & value.str.strip_chars().cast(pl.Int64, strict=False).is_null()
    dotted = value.str.contains(".", literal=True)
    whole = value.cast(pl.Int64, strict=False).is_not_null()
    other = (
        value.is_not_null() & ~whole & ~value.cast(pl.Float64, strict=False).is_nan().fill_null(value=False)
    )
    asked = {"big": big.any(), "dotted": dotted.any(), "others": other.sum(), "whole": whole.sum()}
    any_big, any_dotted, others, wholes = frame.select(**asked).collect().row(0)
    if any_big:
        return Inferred("string", big=True)
    if wholes and not others and found.plain:
        return Inferred("integer")  # and the text "nan"
    if commas and any_dotted:
        texts = frame.select(name).filter(dotted).unique().collect()[name].to_list()
        if all(text.number(each, ",") is not None for each in texts):
            return Inferred("number", comma=True)
    return found


def _fits(value: int) -> bool:
    return -(2**63) <= value < 2**63
