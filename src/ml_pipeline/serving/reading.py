"""How requests are read: what is too large, too slow or not HTTP/1.1 is refused, and costs little."""

import asyncio

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ml_pipeline.serving import heads
from ml_pipeline.serving.corked import Corked
from ml_pipeline.serving.heads import Fault

AHEAD = 64  # requests that a caller may send before their answers
PACKET = 64 << 10  # bytes that are read at once
SPARE = 2.0  # seconds more than the application takes to give up a body
BETWEEN, HEAD, BODY = range(3)  # what a connection is in: no message, a head, or a body


class Reading(HttpToolsProtocol):  # type: ignore[misc]
    """uvicorn's HTTP with limits: of a head, of requests sent ahead, and of a caller's silence (`crowd`)."""

    parser: httptools.HttpRequestParser
    _refusal: bytes | None = None  # of the request that is being read
    _late: asyncio.TimerHandle | None = None  # writes the refusal of the previous request
    _kept = False  # whether the connection had a request before
    _part = BETWEEN
    _since: float | None = None  # the loop's time from which on the caller owes the rest of a message
    _moved = False  # whether the message got further by the last packet
    _unread = 0  # bytes by which it did not
    _upgrades = False  # whether the head is to be read again, without its Upgrade
    _ended = False  # by a fault; nothing is read any more
    _unsent = 0
    _stuck = 0.0  # the loop's time at which bytes of an answer were last taken

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(Corked(transport))
        transport.max_size = PACKET  # type: ignore[attr-defined]  # asyncio reads four times as much
        self._since = now = self.loop.time()
        if len(self.connections) > self.app.crowd.limit:
            self.app.crowd.make_room(self.connections, self, now)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._ended:
            return
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            fault = error.__context__
            self._fail(fault if isinstance(fault, Fault) else heads.NOT_HTTP)
            return
        if self._part:
            self._await(len(data))
        elif self._answered() and self._late is None and self._since is None:
            self._since = self.loop.time()  # empty lines, which begin no message

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._upgrades = False
                method, version = self.parser.get_method(), self.parser.get_http_version()
                head = heads.without_upgrade(method, self.url, version, self.headers)
                data = head + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            else:
                return

    def _await(self, size: int) -> None:
        """Take note of a packet that ended within a message."""
        if self._moved:
            self._moved, self._unread = False, 0
            if not self._answered():
                self._since = self.loop.time()
            return
        self._unread += size
        if self._since is None:
            self._since = self.loop.time()
        if self._part == HEAD and len(self.url) > heads.MAX_URL:
            self._fail(heads.LONG_URL)
        elif self._unread > heads.MAX_HEAD:
            self._fail(heads.LARGE_HEAD)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._part, self._moved, self._since = HEAD, False, None

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._part == HEAD:  # trailers, which follow a body, are ignored
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise heads.TUNNEL
            self._upgrades = True
            return
        if len(self.url) > heads.MAX_URL:
            raise heads.LONG_URL
        if self._unread and sum(len(name) + len(value) + 4 for name, value in self.headers) > heads.MAX_HEAD:
            raise heads.LARGE_HEAD
        if len(self.pipeline) >= AHEAD:
            raise Fault(503, f"{AHEAD} requests were sent before their answers")
        self._part, self._moved = BODY, True
        self.request_begins()

    def on_body(self, body: bytes) -> None:
        self._moved = True
        if self._refusal is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._upgrades:
            self._part, self._since, self._unread = BETWEEN, None, 0
            self.request_ends()

    def request_begins(self) -> None:
        """Take a head that was read."""
        super().on_headers_complete()

    def request_ends(self) -> None:
        """Take a message that was read to its end."""
        super().on_message_complete()

    def hasten(self) -> None:
        """Write what is to be written late."""

    def _fail(self, fault: Fault) -> None:
        """Answer what can't be read, and end the connection: after the answers to the requests before it."""
        self.hasten()
        self._ended = True
        if self.closing():
            return
        cycle = self.cycle
        if not self._answered():
            if not cycle.more_body:
                cycle.keep_alive = False
                self.transport.lingers_for = self
                self.flow.pause_reading()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        if self.pipeline or (cycle is not None and cycle.response_started and not cycle.response_complete):
            self.transport.close()
            return
        if self._part != BODY or not self._answered() or self._refusal:
            self.app.service.figures.request("other", fault.code, 0.0)
            self.transport.lingers_for = self
            self.transport.write(fault.response())
        self.transport.close()

    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    # What `crowd` asks.

    def closing(self) -> bool:
        return bool(self.transport.is_closing())

    def dispensable(self) -> tuple[int, float] | None:
        if self._late is not None:
            return None
        if not self._answered():
            return (2, self._since) if self._part == BODY and self._since is not None else None
        idle = self.timeout_keep_alive_task
        return (int(self._kept), idle.when() if idle is not None else self._since or 0.0)

    def unsent(self, now: float) -> tuple[int, float]:
        size = self.transport.get_write_buffer_size()
        if not self._unsent or size < self._unsent:
            self._stuck = now
        self._unsent = size
        return size, now - self._stuck if size else 0.0

    def silent(self, now: float, seconds: float) -> bool:
        spare = SPARE if self._part == BODY else 0.0
        if self._since is None or self._ended or self.closing() or self.flow.read_paused:
            return False  # the server itself reads no more, or not now
        return now - self._since > seconds + spare

    def give_up(self) -> None:
        self._since = None
        if self._part == BETWEEN:
            self.transport.close()
        else:
            self._fail(Fault(408, "the request did not arrive in time"))

    def end(self) -> None:
        self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    def turn_away(self) -> None:
        self.app.service.figures.refused("connections")
        self._fail(Fault(503, "too many connections are open; try again"))
