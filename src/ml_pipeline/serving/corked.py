"""A transport that writes once in a turn of the event loop, and ends a connection without a reset."""

import asyncio

LINGER = 1.0  # seconds


class Corked:
    """A transport that writes once in a turn of the event loop.

    uvicorn writes the head and the body of a response by one system call each, and these are a third of what
    a small response costs.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self.lingers_for: asyncio.Protocol | None = None  # whose connection `close` ends in two steps
        self._lingering = False
        self._transport = transport
        self._pieces: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        self._flush()
        if self.lingers_for is None or self.is_closing():
            self._transport.close()
        else:
            self._linger(self.lingers_for)

    def abort(self) -> None:
        """End the connection now, whatever was not sent yet."""
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._lingering or self._transport.is_closing()

    def _linger(self, protocol: asyncio.Protocol) -> None:
        """Say that no more comes, and close when the caller does, LINGER seconds later at the latest.

        A caller that does not wait for answers may have sent more requests. Bytes that nobody reads would
        reset the connection, and the last answer could be lost with it.
        """
        self._lingering = True
        self._transport.write_eof()
        self._transport.set_protocol(Unanswered(protocol))
        self._transport.resume_reading()
        self._loop.call_later(LINGER, self._transport.close)

    def _flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._transport.write(b"".join(pieces))

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)


class Unanswered(asyncio.Protocol):
    """Reads, and forgets, what comes after the last answer of a connection."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)
