"""The way of a request to the model and back, in either protocol: body, rows, batch, answer, figures."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ml_pipeline.model.loaded import Model, Rows
from ml_pipeline.model.values import BadInput
from ml_pipeline.serving import protocol
from ml_pipeline.serving.batching import Batcher, Outcome, Refused
from ml_pipeline.serving.encoding import decoded
from ml_pipeline.serving.figures import Figures
from ml_pipeline.serving.limits import Limits
from ml_pipeline.serving.monitor import Monitor
from ml_pipeline.serving.pace import Pace
from ml_pipeline.serving.protocol import Call, Reply, Unread, encode, reply

BODY_SECONDS = 30.0  # within which a request's body must have arrived
LARGE = 1 << 16  # bytes of a body; reading a larger one would hold up the event loop
RETRY_AFTER = "1"  # seconds
_REFUSAL = (
    f"HTTP/1.1 503 Service Unavailable\r\nRetry-After: {RETRY_AFTER}\r\n"
    f"Content-Type: {protocol.JSON}\r\nContent-Length: "
).encode()
_LOG = logging.getLogger("uvicorn.error")

Message = MutableMapping[str, Any]  # Any: as ASGI has it, the keys' types depend on the message
Receive = Callable[[], Awaitable[Message]]
Read = Callable[[Model, bytes, int], Call]  # a body of so many rows at most


class Service:
    """Answers requests with one model. To be used from the event loop only."""

    def __init__(self, model: Model, pace: Pace, limits: Limits, monitor: Monitor | None) -> None:
        self.model = model
        self.draining = False
        self.figures = Figures(model.signature.name, model.signature.version, model.signature.classes)
        self._limits = limits
        self._monitor = monitor
        self._batcher = Batcher(model, pace, limits.queue, limits.standing, self._ran)
        self._most = limits.rows(len(model.signature.classes))
        self._reader = ThreadPoolExecutor(1, "reader")  # of large bodies; the model does not wait for it
        self._held = 0  # bytes of long bodies that are under way
        self._coming = 0  # admitted, and begun by the event loop in its next turn

    def metrics(self) -> str:
        """Return all figures in Prometheus's format."""
        text = self.figures.text(self._batcher.waiting, self._batcher.running)
        return text + "".join(f"{line}\n" for line in self._monitor.lines()) if self._monitor else text

    def refusal(self) -> bytes | None:
        """Return the whole response, head and body, if a prediction can't wait; None if it is admitted."""
        if self.draining:
            return None
        try:
            self._batcher.admit(self._coming)
        except Refused as error:
            self.figures.refused("queue")
            body = encode({"error": str(error)})
            return b"%s%d\r\n\r\n%s" % (_REFUSAL, len(body), body)
        self._coming += 1
        return None

    def begun(self) -> None:
        """Take note that a request has begun, whether or not `refusal` was asked before."""
        self._coming = max(0, self._coming - 1)

    async def answer(self, receive: Receive, read: Read, coding: bytes = b"") -> Reply:
        """Return the response to a request; `read` reads its body, `coding` is its Content-Encoding."""
        try:
            self._batcher.admit()  # before the body is read: a refusal has to be cheap
            body = await self._body(receive)
            if coding:
                loop = asyncio.get_running_loop()
                body = await loop.run_in_executor(self._reader, decoded, body, coding, self._limits.max_body)
            if len(body) <= LARGE:
                call = read(self.model, body, self._most)
                return call.write(await self._batcher.answer(call.rows))
            call = await self._read(read, body)
            del body
            answer = await self._batcher.answer(replace(call.rows, is_large=True))
            return await asyncio.get_running_loop().run_in_executor(self._reader, call.write, answer)
        except Unread as unread:
            return unread.reply
        except BadInput as error:
            return reply(error.document(), 422)
        except Refused as error:
            self.figures.refused("queue")
            return reply({"error": str(error)}, 503, **{"Retry-After": RETRY_AFTER})
        except Exception as error:  # noqa: BLE001 - a model may raise anything
            _LOG.exception("The model failed")
            return reply({"error": f"the model failed ({type(error).__name__})"}, 500)

    async def _read(self, read: Read, body: bytes) -> Call:
        """Read a large body in a thread. Raises `Unread` if too many wait for that already."""
        size = len(body)
        self._hold(size)
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._reader, read, self.model, body, self._most)
        finally:
            self._held -= size

    async def _body(self, receive: Receive) -> bytes:
        """Read the whole body. Raises `Unread`."""
        chunks: list[bytes] = []
        size = held = 0
        loop, silence = asyncio.get_running_loop(), self._limits.silence
        try:
            async with asyncio.timeout(silence) as limit:
                end = loop.time() + BODY_SECONDS
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Unread(Reply(b"", 499))  # the caller is gone; the status is for /metrics
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > self._limits.max_body:
                        cause = f"the body is larger than {self._limits.max_body} bytes"
                        raise Unread(reply({"error": cause}, 413))
                    chunks.append(chunk)
                    if not message.get("more_body"):
                        return b"".join(chunks)
                    if size > LARGE:
                        self._hold(size - held)
                        held = size
                    limit.reschedule(min(end, loop.time() + silence))
        except TimeoutError:
            cause = f"the body did not arrive within {BODY_SECONDS:g} s, or paused for {silence:g} s"
            raise Unread(reply({"error": cause}, 408)) from None
        finally:
            self._held -= held

    def _hold(self, size: int) -> None:
        """Count bytes of a long body. Raises `Unread` if all together have too many."""
        if self._held + size > self._limits.max_bodies:
            self.figures.refused("bodies")
            cause = f"large bodies of {self._held} bytes are under way already; try again"
            raise Unread(reply({"error": cause}, 503, **{"Retry-After": RETRY_AFTER}))
        self._held += size

    def _ran(self, parts: Sequence[Rows], outcomes: Sequence[Outcome]) -> None:
        self.figures.batch(sum(part.count for part in parts))
        for part, outcome in zip(parts, outcomes, strict=True):
            if not isinstance(outcome, Exception):
                self.figures.predicted(outcome.predictions)
                if self._monitor:
                    self._monitor.add(part, outcome.predictions)
