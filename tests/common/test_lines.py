"""An error as one line."""

import pytest

from ml_pipeline.common.lines import last_line, one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("  two\n words.\n", "two words"),
        (b"no \xff text", "no � text"),
        (ValueError("one\n  thing."), "one thing"),
        (ValueError(), "ValueError"),
        (ValueError(" .\n"), "ValueError"),
    ],
)
def test_one_line(text: object, line: str) -> None:
    assert one_line(text) == line


def test_the_end_of_a_long_text_is_cut_off() -> None:
    assert one_line("a" * 300) == "a" * 300
    assert one_line("a" * 301) == "a" * 299 + "…"
    assert one_line("word " * 9, limit=10) == "word word…"


@pytest.mark.parametrize(
    ("text", "line"),
    [("", ""), (" \n\n", ""), ("first\n last  one \n\n", "last one"), (b"first\r\nlast\r\n", "last")],
)
def test_last_line(text: str | bytes, line: str) -> None:
    assert last_line(text) == line
