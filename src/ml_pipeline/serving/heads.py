"""Heads of requests: how large they may be, and what the server answers to one that it does not take."""

from collections.abc import Iterable
from http import HTTPStatus

from ml_pipeline.serving.protocol import JSON, encode

MAX_URL = 8 << 10  # bytes, as other servers have it
MAX_HEAD = 64 << 10  # bytes of a whole head, and of what stands between the parts of a body


class Fault(Exception):
    """A request that is not read to its end: the status of its answer, and the cause."""

    def __init__(self, code: int, cause: str) -> None:
        super().__init__(cause)
        self.code = code

    def response(self) -> bytes:
        """Return the whole response, after which the connection ends."""
        body = encode({"error": str(self)})
        head = (
            f"HTTP/1.1 {self.code} {HTTPStatus(self.code).phrase}\r\nContent-Type: {JSON}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body


NOT_HTTP = Fault(400, "the request is not HTTP/1.1")
LONG_URL = Fault(414, f"the URL is longer than {MAX_URL} bytes")
LARGE_HEAD = Fault(431, f"the headers are larger than {MAX_HEAD} bytes")
TUNNEL = Fault(405, "CONNECT is not allowed here")


def without_upgrade(method: bytes, url: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a head again without its Upgrade: the server speaks HTTP/1.1 only, and may ignore the wish.

    RFC 9110, 7.8. The parser takes what follows such a head for another protocol.
    """
    lines = [b"%s %s HTTP/%s" % (method, url, version.encode())]
    lines += [b"%s: %s" % header for header in headers if header[0] != b"upgrade"]
    return b"\r\n".join(lines) + b"\r\n\r\n"
