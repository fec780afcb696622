"""Which rows of a table break a rule."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple, cast

import polars as pl

from ml_pipeline.data.report import Value, ViolationReport
from ml_pipeline.distributions.cores import columns_in_memory
from ml_pipeline.project.data_rules import Column

EXAMPLES = 5  # rows and values that a violation shows
FIX = "fix the data or the schema under [tool.ml-pipeline.data.columns]"
_ROW, _BROKEN = "\x1frow number, from 1", "\x1fbreaks the rule"  # no column's name has \x1f
_OF_VALUES = frozenset({"min", "max", "allowed", "pattern", "unique", "nullable", "type"})
_ROUNDING = 1e-12
_OF_ALL_ROWS = frozenset({"nullable", "target_missing"})  # rules on missing values


class Rule(NamedTuple):
    """A rule on a column's values; `words` say what is wrong with those that break it."""

    column: str
    name: str
    words: str


Masks = Mapping[Rule, pl.Expr]  # true for a row that breaks the rule


@dataclass(frozen=True)
class Violation:
    """One column that breaks one rule; "" is the whole table. `rows` count from 1, without a CSV's header."""

    column: str
    rule: str
    message: str
    count: int = 0
    share: float = 0.0  # of the column's values, or of all rows where the rule is on missing ones
    rows: list[int] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)

    def report(self) -> ViolationReport:
        """Return the violation as report.json has it."""
        return cast("ViolationReport", asdict(self))


def tolerated(
    violations: Sequence[Violation], columns: Mapping[str, Column]
) -> tuple[list[Violation], list[Violation]]:
    """Return the violations that stop a run, and as warnings those that `mostly` of their column allows."""
    stopping, allowed = [], []
    for violation in violations:
        rules = columns.get(violation.column, Column())
        least = rules.mostly or 1.0
        if violation.rule in _OF_VALUES and 0 < violation.share <= 1 - least + _ROUNDING:
            message = f"{violation.message}, which mostly = {rules.mostly} allows"
            allowed.append(replace(violation, message=message))
        else:
            stopping.append(violation)
    return stopping, allowed


def broken(frame: pl.LazyFrame, masks: Masks, least_share: float = 0.0) -> list[Violation]:
    """Return a violation for each rule that at least one row and `least_share` of the values break.

    Rows are counted for as many columns at a time as memory allows; each broken rule takes one more pass,
    for its first rows.
    """
    if not masks:
        return []
    counts = _counts(frame, masks)
    violations = []
    for index, (rule, mask) in enumerate(masks.items()):
        count = counts[f"broken {index}"]
        total = counts["rows"] if rule.name in _OF_ALL_ROWS else counts[f"n {rule.column}"]
        if count and count >= least_share * total:
            violations.append(_violation(frame, rule, mask, count, total))
    return violations


def _violation(frame: pl.LazyFrame, rule: Rule, mask: pl.Expr, count: int, total: int) -> Violation:
    marked = frame.with_row_index(_ROW, offset=1).select(_ROW, rule.column, mask.alias(_BROKEN))
    examples = marked.filter(_BROKEN).head(EXAMPLES).collect()
    rows = examples[_ROW].to_list()
    values = [_jsonable(value) for value in examples[rule.column].to_list()]
    listed = ", ".join(map(str, rows)) + (", …" if count > len(rows) else "")
    what = f"1 value {_singular(rule.words)} (row" if count == 1 else f"{count} values {rule.words} (rows"
    message = f"column {rule.column!r} has {what} {listed})"
    return Violation(rule.column, rule.name, message, count, count / total, rows, values)


def _singular(words: str) -> str:
    for plural, singular in (("that are ", "that is "), ("that do ", "that does ")):
        if words.startswith(plural):
            return singular + words.removeprefix(plural)
    return words


def _counts(frame: pl.LazyFrame, masks: Masks) -> dict[str, int]:
    """Count rows, each column's values ("n NAME") and, by its place, each mask's rows ("broken 0")."""
    counts: dict[str, int] = {"rows": frame.select(pl.len()).collect().item()}
    names = list(dict.fromkeys(rule.column for rule in masks))
    at_once = columns_in_memory(counts["rows"])
    for start in range(0, len(names), at_once):
        some = names[start : start + at_once]
        sums = [
            mask.sum().alias(f"broken {index}")
            for index, (rule, mask) in enumerate(masks.items())
            if rule.column in some
        ]
        values = [pl.col(name).count().alias(f"n {name}") for name in some]
        counts |= frame.select(*values, *sums).collect().row(0, named=True)
    return counts


def _jsonable(value: object) -> Value:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
