"""Bodies that were compressed by their callers, as the clients of Triton and of KServe can."""

import zlib
from collections.abc import Iterable

from ml_pipeline.model.values import BadInput
from ml_pipeline.serving.protocol import Unread, reply

_FORMS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}  # as zlib's `wbits`
ACCEPTED = "gzip, deflate"


def encoding(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the Content-Encoding of a request, b"" if it has none."""
    for name, value in headers:
        if name == b"content-encoding":
            return value.strip().lower()
    return b""


def decoded(body: bytes, coding: bytes, most: int) -> bytes:
    """Return a body as it was before its caller compressed it, of `most` bytes at most.

    Raises `Unread` and `BadInput`.
    """
    if coding == b"identity":
        return body
    if coding not in _FORMS:
        name = coding.decode("latin-1")[:60]
        cause = f"Content-Encoding: expected {ACCEPTED} or none, got {name!r}"
        raise Unread(reply({"error": cause}, 415, **{"Accept-Encoding": ACCEPTED}))
    reader = zlib.decompressobj(_FORMS[coding])
    try:
        text = reader.decompress(body, most + 1)
    except zlib.error:
        text = b""
    if len(text) > most:
        raise Unread(reply({"error": f"the body is larger than {most} bytes when it is decompressed"}, 413))
    if not reader.eof or reader.unused_data:
        raise BadInput(
            f"the body is not {coding.decode()}, as its Content-Encoding says", expected="gzip or deflate"
        )
    return text
