"""uvicorn's connections, cheaper in two places: a response is one packet, and a refusal skips ASGI."""

import asyncio
from functools import partial

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LATE = 0.05  # seconds


class Corked:
    """A transport that writes once in a turn of the event loop.

    uvicorn writes the head and the body of a response by one system call each, and these are a third of what
    a small response costs.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pieces: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._transport.write(b"".join(pieces))

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):  # type: ignore[misc]
    """uvicorn's HTTP over such a transport; it refuses predictions before they become ASGI requests.

    A refusal protects the admitted requests only if it costs much less than an answer, and if a caller does
    not come back at once. So it is written LATE seconds later. The refused request is still read to its end,
    so that the connection can be used again.
    """

    _refusal: bytes | None = None  # of the request that is being read
    _late: asyncio.TimerHandle | None = None  # writes the refusal of the previous request

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(Corked(transport))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late:
            self._late.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self._hasten()
        super().shutdown()

    def on_headers_complete(self) -> None:
        self._hasten()  # answers keep the order of their requests
        idle = self.cycle is None or self.cycle.response_complete
        if idle and not self.expect_100_continue and self.parser.get_method() == b"POST":
            self._refusal = self.app.refusal(self.url)
        if self._refusal is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._refusal is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._refusal is None:
            super().on_message_complete()
            return
        refusal, self._refusal = self._refusal, None
        self._refuse = partial(self._write, refusal, self.parser.should_keep_alive())
        self._late = self.loop.call_later(LATE, self._refuse)

    def _hasten(self) -> None:
        if self._late:
            self._late.cancel()
            self._refuse()

    def _write(self, refusal: bytes, stay: bool) -> None:
        self._late = None
        self.transport.write(refusal)
        if not stay:
            self.transport.close()
        self.on_response_complete()
