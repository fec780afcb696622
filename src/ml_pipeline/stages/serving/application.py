"""The server's routes: what is asked of it, and what it answers. The work is done in `protocol`.

Starlette, which FastAPI is made of, and not FastAPI: requests are checked against the model's own
columns, so FastAPI would do nothing here but be imported, for half of the second that a start may take.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_pipeline.stages.model import Model, Rows
from ml_pipeline.stages.serving import open_inference, protocol
from ml_pipeline.stages.serving.batching import Batcher, Outcome, Refused
from ml_pipeline.stages.serving.columns import BadInput
from ml_pipeline.stages.serving.drift import Monitor
from ml_pipeline.stages.serving.figures import Figures
from ml_pipeline.stages.serving.pace import Pace
from ml_pipeline.stages.serving.protocol import Call, Reply, encode, said
from ml_pipeline.stages.serving.text import CONTENT_TYPE

BODY_SECONDS = 30.0  # within which a request's body must have arrived
LARGE = 1 << 16  # bytes of a body beyond which reading it would hold up the event loop
RETRY_AFTER = "1"  # seconds
_REFUSAL = (
    f"HTTP/1.1 503 Service Unavailable\r\nRetry-After: {RETRY_AFTER}\r\n"
    f"Content-Type: {protocol.JSON}\r\nContent-Length: "
).encode()
_LOG = logging.getLogger("uvicorn.error")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Read = Callable[[Model, bytes], Call]


class Application:
    """One model over HTTP: an ASGI application."""

    def __init__(
        self,
        model: Model,
        pace: Pace,
        queue: int,
        standing: int,
        max_body: int,
        monitor: Monitor | None = None,
    ) -> None:
        self.draining = False
        self._model = model
        self._max_body = max_body
        self._monitor = monitor
        self._coming = 0  # let in, and not begun: that is for the event loop's next turn
        self._batcher = Batcher(model, pace, queue, standing, self._ran)
        signature = model.signature
        self._figures = Figures(signature.name, signature.version, signature.classes)
        self._routes = Starlette(
            routes=_routes(self), exception_handlers={HTTPException: _http_error, 500: _server_error}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and count the answer."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        code = 500

        async def counted(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                if self.draining:  # so that the caller's next request goes to another replica
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        # Routing costs as much as the model does, and nearly all requests are these.
        direct = scope["path"] == "/predict" and scope["method"] == "POST"
        try:
            if direct:
                await self._predict(receive, counted)
            else:
                await self._routes(scope, receive, counted)
        finally:
            route = scope.get("route")
            path = "/predict" if direct else _label(route.path) if isinstance(route, Route) else "other"
            self._figures.request(path, code, time.perf_counter() - started)

    def refusal(self, url: bytes) -> bytes | None:
        """The whole answer to a prediction that may not wait now, None where it may, or is none."""
        if url != b"/predict" or self.draining:
            return None
        try:
            self._batcher.admit(self._coming)
        except Refused as error:
            self._figures.request("/predict", 503, 0.0)
            body = encode({"error": str(error)})
            return b"%s%d\r\n\r\n%s" % (_REFUSAL, len(body), body)
        self._coming += 1
        return None

    async def _predict(self, receive: Receive, send: Send) -> None:
        self._coming = max(0, self._coming - 1)  # the few that were never asked for a refusal don't matter
        try:
            reply = await self._answer(receive, protocol.read)
        except Exception as error:  # noqa: BLE001 - a model may raise anything
            _LOG.exception("The model failed")
            reply = _failed(error)
        headers = [(b"content-type", reply.media.encode()), (b"content-length", b"%d" % len(reply.body))]
        headers += [(name.encode(), value.encode()) for name, value in reply.headers]
        await send({"type": "http.response.start", "status": reply.code, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _answer(self, receive: Receive, read: Read) -> Reply:
        """Take a request's body to the model, and the model's answer back."""
        try:
            self._batcher.admit()  # before its body is read: who is refused shall cost little
            body = await self._body(receive)
            if len(body) <= LARGE:
                call = read(self._model, body)
                return call.write(await self._batcher.answer(call.rows))
            loop, pool = asyncio.get_running_loop(), self._batcher.pool
            call = await loop.run_in_executor(pool, read, self._model, body)
            answer = await self._batcher.answer(call.rows)
            return await loop.run_in_executor(pool, call.write, answer)
        except _Refusal as refusal:
            return refusal.reply
        except BadInput as error:
            return said(error.document(), 422)
        except Refused as error:
            return said({"error": str(error)}, 503, **{"Retry-After": RETRY_AFTER})

    async def _body(self, receive: Receive) -> bytes:
        """The whole body. Raises `_Refusal`."""
        chunks, size = [], 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Refusal(Reply(b"", 499))  # nobody reads it, but it is counted
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > self._max_body:
                        cause = f"the body is larger than {self._max_body} bytes"
                        raise _Refusal(said({"error": cause}, 413))
                    chunks.append(chunk)
                    if not message.get("more_body"):
                        return b"".join(chunks)
        except TimeoutError:
            cause = f"the body did not arrive within {BODY_SECONDS:g} s"
            raise _Refusal(said({"error": cause}, 408)) from None

    def _ran(self, parts: Sequence[Rows], outcomes: Sequence[Outcome]) -> None:
        self._figures.batch(sum(part.count for part in parts))
        for part, outcome in zip(parts, outcomes, strict=True):
            if not isinstance(outcome, Exception):
                self._figures.predicted(outcome.predictions)
                if self._monitor:
                    self._monitor.add(part)

    async def predict(self, _request: Request) -> Response:
        raise HTTPException(405)  # a POST does not come here, but Starlette knows so that there is the page

    async def infer(self, request: Request) -> Response:
        self._require_model(request)
        size = request.headers.get(open_inference.SIZE)
        if size is not None and not (size.isascii() and size.isdigit() and len(size) < 16):
            return _response(said({"error": f"{open_inference.SIZE}: expected a number of bytes"}, 422))

        def read(model: Model, body: bytes) -> Call:
            return open_inference.read(model, body, None if size is None else int(size))

        return _response(await self._answer(request.receive, read))

    async def health(self, _request: Request) -> Response:
        return _json({"live": True})

    async def ready(self, _request: Request) -> Response:
        return _json({"ready": not self.draining}, 503 if self.draining else 200)

    async def metrics(self, _request: Request) -> Response:
        text = self._figures.text(self._batcher.waiting, self._batcher.running)
        text += "".join(f"{line}\n" for line in self._monitor.lines()) if self._monitor else ""
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    async def model(self, _request: Request) -> Response:
        return _json(self._model.signature.document)

    async def server(self, _request: Request) -> Response:
        return _json(
            {
                "name": "ml-pipeline",
                "version": self._model.signature.version,
                "extensions": ["binary_tensor_data"],
            }
        )

    async def model_v2(self, request: Request) -> Response:
        self._require_model(request)
        return _json(open_inference.describe(self._model))

    async def model_ready(self, request: Request) -> Response:
        self._require_model(request)
        document = {"name": self._model.signature.name, "ready": not self.draining}
        return _json(document, 503 if self.draining else 200)

    def _require_model(self, request: Request) -> None:
        signature = self._model.signature
        name, version = request.path_params["name"], request.path_params.get("version", signature.version)
        if (name, version) != (signature.name, signature.version):
            asked = f"{name!r} version {version!r}" if name == signature.name else repr(name)
            here = f"{signature.name!r} version {signature.version!r}"
            raise HTTPException(404, f"no model {asked} here; there is {here}")


def _routes(app: Application) -> list[Route]:
    plain = {
        "/health": app.health,
        "/ready": app.ready,
        "/metrics": app.metrics,
        "/model": app.model,
        "/v2": app.server,
        "/v2/health/live": app.health,
        "/v2/health/ready": app.ready,
    }
    routes = [Route("/predict", app.predict, methods=["POST"])]
    routes += [Route(path, endpoint) for path, endpoint in plain.items()]
    for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes.append(Route(model, app.model_v2))
        routes.append(Route(f"{model}/ready", app.model_ready))
        routes.append(Route(f"{model}/infer", app.infer, methods=["POST"]))
    return routes


def _label(path: str) -> str:
    return path.replace("/versions/{version}", "").replace("{name}", "NAME")


def _json(document: Any, code: int = 200, **headers: str) -> Response:
    return _response(said(document, code, **headers))


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.code, dict(reply.headers), reply.media)


class _Refusal(Exception):
    """A request that is answered before its body was read."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.code)
        self.reply = reply


def _failed(error: Exception) -> Reply:
    return said({"error": f"the model failed ({type(error).__name__})"}, 500)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    told = error.detail if error.status_code == 404 and error.detail != "Not Found" else None
    told = told or {
        404: f"no page {request.url.path!r} here",
        405: f"{request.method} is not taken here",
    }.get(error.status_code, error.detail)
    return _json({"error": told}, error.status_code, **(error.headers or {}))


async def _server_error(_request: Request, error: Exception) -> Response:
    """Starlette raises the error again afterwards, and uvicorn logs it with its traceback."""
    return _response(_failed(error))
