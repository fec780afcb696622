"""An error, or any text, as one line without secrets; standard library only."""

from ml_pipeline.common.redaction import redacted

LONGEST = 300  # characters


def one_line(text: object, limit: int = LONGEST) -> str:
    """Return a text, or an error's text, on one line without its full stop, because more may follow.

    The end is cut off where the line is longer than `limit`; an error without a text is the name of its type.
    """
    words = " ".join(_text(text).split()).rstrip(".")
    if isinstance(text, BaseException):
        words = words or type(text).__name__
    return words if len(words) <= limit else words[: limit - 1] + "…"


def last_line(text: str | bytes, limit: int = LONGEST) -> str:
    """Return the last line of a text that is not blank, or "" where there is none."""
    lines = (one_line(line, limit) for line in reversed(_text(text).splitlines()))
    return next(filter(None, lines), "")


def _text(text: object) -> str:
    return redacted(text.decode(errors="replace") if isinstance(text, bytes) else str(text))
