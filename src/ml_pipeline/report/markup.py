"""Texts, tables and sections in Markdown (GitHub's flavour). Standard library only."""

from collections.abc import Iterable


def section(title: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a heading and a table, or nothing if it has no rows."""
    content = table(head, rows)
    return f"### {title}\n\n{content}" if content else ""


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table, or nothing if it has no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines]) if lines else ""


def text(words: str) -> str:
    """Return any text as one line that Markdown shows as it is, in a table too."""
    line = " ".join(words.split())
    for character in "\\`*|<":
        line = line.replace(character, f"\\{character}")
    return line.replace("](", "]\\(")  # brackets alone, as in [tool.ml-pipeline], make no link


def code(words: str) -> str:
    """Return any text as it can stand between backticks, in a table too."""
    return " ".join(words.split()).replace("`", "'").replace("|", "\\|")
