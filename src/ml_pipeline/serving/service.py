"""The way of a request to the model and back, in either protocol: body, rows, batch, answer, figures."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_pipeline.model.loaded import Model, Rows
from ml_pipeline.model.values import BadInput
from ml_pipeline.serving import protocol
from ml_pipeline.serving.batching import Batcher, Outcome, Refused
from ml_pipeline.serving.figures import Figures
from ml_pipeline.serving.monitor import Monitor
from ml_pipeline.serving.pace import Pace
from ml_pipeline.serving.protocol import Call, Reply, encode, reply

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
Read = Callable[[Model, bytes], Call]


@dataclass(frozen=True)
class Limits:
    """How many requests may wait in a burst, and under sustained overload; how large a body may be."""

    queue: int
    standing: int
    max_body: int  # bytes


class Service:
    """Answers requests with one model. To be used from the event loop only."""

    def __init__(self, model: Model, pace: Pace, limits: Limits, monitor: Monitor | None) -> None:
        self.model = model
        self.draining = False
        self.figures = Figures(model.signature.name, model.signature.version, model.signature.classes)
        self._limits = limits
        self._monitor = monitor
        self._batcher = Batcher(model, pace, limits.queue, limits.standing, self._ran)
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
            body = encode({"error": str(error)})
            return b"%s%d\r\n\r\n%s" % (_REFUSAL, len(body), body)
        self._coming += 1
        return None

    def begun(self) -> None:
        """Take note that a request has begun, whether or not `refusal` was asked before."""
        self._coming = max(0, self._coming - 1)

    async def answer(self, receive: Receive, read: Read) -> Reply:
        """Return the response to a request, whose body `read` understands."""
        try:
            self._batcher.admit()  # before the body is read: a refusal has to be cheap
            body = await self._body(receive)
            if len(body) <= LARGE:
                call = read(self.model, body)
                return call.write(await self._batcher.answer(call.rows))
            loop, pool = asyncio.get_running_loop(), self._batcher.pool
            call = await loop.run_in_executor(pool, read, self.model, body)
            answer = await self._batcher.answer(call.rows)
            return await loop.run_in_executor(pool, call.write, answer)
        except _Unread as unread:
            return unread.reply
        except BadInput as error:
            return reply(error.document(), 422)
        except Refused as error:
            return reply({"error": str(error)}, 503, **{"Retry-After": RETRY_AFTER})
        except Exception as error:  # noqa: BLE001 - a model may raise anything
            _LOG.exception("The model failed")
            return reply({"error": f"the model failed ({type(error).__name__})"}, 500)

    async def _body(self, receive: Receive) -> bytes:
        """Read the whole body. Raises `_Unread`."""
        chunks, size = [], 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Unread(Reply(b"", 499))  # the caller is gone; the status is for /metrics
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > self._limits.max_body:
                        cause = f"the body is larger than {self._limits.max_body} bytes"
                        raise _Unread(reply({"error": cause}, 413))
                    chunks.append(chunk)
                    if not message.get("more_body"):
                        return b"".join(chunks)
        except TimeoutError:
            cause = f"the body did not arrive within {BODY_SECONDS:g} s"
            raise _Unread(reply({"error": cause}, 408)) from None

    def _ran(self, parts: Sequence[Rows], outcomes: Sequence[Outcome]) -> None:
        self.figures.batch(sum(part.count for part in parts))
        for part, outcome in zip(parts, outcomes, strict=True):
            if not isinstance(outcome, Exception):
                self.figures.predicted(outcome.predictions)
                if self._monitor:
                    self._monitor.add(part, outcome.predictions)


class _Unread(Exception):
    """The response to a request whose body was not read to its end."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.code)
        self.reply = reply
