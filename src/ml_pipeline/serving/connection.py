"""uvicorn's connections: a response is one packet, a refusal skips ASGI, and no connection gets old.

A load balancer in front of pods, such as a Kubernetes Service, chooses a pod for a connection, not for a
request. So a caller that keeps its connection stays with a pod that gets no new ones any more. The server
ends a connection that is older than `Application.connection_age` by `Connection: close` on an answer: the
caller knows it before its next request. An idle connection is never ended for its age, for a request may be
on its way.
"""

import asyncio
from functools import partial

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ml_pipeline.serving.reading import Reading

LATE = 0.05  # seconds


class Protocol(Reading):
    """HTTP over `Corked`; it refuses predictions before they become ASGI requests, and ends old connections.

    A refusal protects the admitted requests only if it costs much less than an answer, and if a caller does
    not come back at once. So it is written LATE seconds later. The refused request is still read to its end,
    so that the connection can be used again.
    """

    _old = float("inf")  # the loop's time from which on the connection is old
    _last: RequestResponseCycle = None  # whose answer is to end it for that

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if self.app.connection_age:
            self._old = self.loop.time() + self.app.connection_age

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late:
            self._late.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self.hasten()
        super().shutdown()

    def request_begins(self) -> None:
        self.hasten()  # answers keep the order of their requests
        self.app.service.figures.begun(self._kept)
        self._kept = True
        before = self.cycle
        idle = before is None or before.response_complete
        if idle and not self.expect_100_continue and self.parser.get_method() == b"POST":
            self._refusal = self.app.refusal(self.url)
        if self._refusal is None:
            super().request_begins()
            if self.loop.time() >= self._old and self.cycle.keep_alive:
                self._end_after(self.cycle, None if idle else before)

    def request_ends(self) -> None:
        if self._refusal is None:
            super().request_ends()
            return
        refusal, self._refusal = self._refusal, None
        self._refuse = partial(self._write, refusal, self.parser.should_keep_alive())
        self._late = self.loop.call_later(LATE, self._refuse)

    def hasten(self) -> None:
        if self._late:
            self._late.cancel()
            self._refuse(is_last=False)

    def _end_after(self, last: RequestResponseCycle, before: RequestResponseCycle) -> None:
        """End an old connection with the answer to `last`, and not with the one to the request before it.

        A caller that always has several requests open would put the end off for ever, so it is put off only
        until the connection has twice the age.
        """
        marked = before is not None and before is self._last
        if marked and not before.response_started and not self._too_old():
            before.keep_alive = True
        last.keep_alive = False
        self._last, self.transport.lingers_for = last, self

    def _too_old(self) -> bool:
        too_old: bool = self.loop.time() >= self._old + self.app.connection_age
        return too_old

    def _write(self, refusal: bytes, stay: bool, *, is_last: bool = True) -> None:
        self._late = None
        if stay and (self.loop.time() >= self._old if is_last else self._too_old()):
            stay, self.transport.lingers_for = False, self
            refusal = refusal.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        self.transport.write(refusal)
        if not stay:
            self.transport.close()
        self.on_response_complete()
