"""Secrets are taken out of every text that a program shows or quotes; standard library only.

A program names its secrets when it reads them. `lines.one_line`, which every text from outside goes through,
and `outcome.run_stage`, which prints what a program says last, take them out: a server may quote the header
that it got, and a library the value that it refuses.
"""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

HIDDEN = "[hidden]"
SHORTEST = 4  # characters; a shorter secret is also a part of many ordinary words
SHORTEST_CODED = 8

_forms: set[str] = set()


def hide(*secrets: object) -> None:
    """Take note of secrets. Of a text of several lines, each line is one too."""
    for secret in map(str, filter(None, secrets)):
        for part in {secret, secret.strip(), *secret.split()}:
            _forms.update(_forms_of(part))


def redacted(text: str) -> str:
    """Return a text without the secrets, in plain or as base64, hex, a URL, JSON or Python write them."""
    for form in sorted(_forms, key=len, reverse=True):
        if form in text:
            text = text.replace(form, HIDDEN)
    return text


def is_needed() -> bool:
    """Tell whether the program has named any secret."""
    return bool(_forms)


def _forms_of(secret: str) -> Iterator[str]:
    data = secret.encode(errors="surrogateescape")
    coded = [json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe=""), quote_plus(secret)]
    coded += [secret[::-1], data.hex(), data.hex().upper(), *_base64(data)]
    if len(secret) >= SHORTEST:
        yield secret
    yield from (form for form in coded if len(form) >= SHORTEST_CODED)


def _base64(data: bytes) -> Iterator[str]:
    """Return the characters that stand for these bytes wherever they are in an encoded text."""
    for before, first in ((0, 0), (1, 2), (2, 3)):  # bytes before them, characters that hold some of these
        padded = bytes(before) + data
        last = (len(padded) * 8) // 6  # what comes after them changes the next one
        yield base64.b64encode(padded).decode()[first:last]
        yield base64.urlsafe_b64encode(padded).decode()[first:last]
