"""The server's routes: what is asked of it, and what it answers. The work is done in `protocol`.

Starlette, which FastAPI is made of, and not FastAPI: requests are checked against the model's own
columns, so FastAPI would do nothing here but be imported, for half of the second that a start may take.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ml_pipeline.stages.model import Answer, Model
from ml_pipeline.stages.serving import protocol
from ml_pipeline.stages.serving.columns import BadInput
from ml_pipeline.stages.serving.figures import CONTENT_TYPE, Figures

BODY_SECONDS = 30.0  # within which a request's body must have arrived
RETRY_AFTER = "1"  # seconds

Work = Callable[[Model, bytes], tuple[Answer, bytes]]
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Application:
    """One model over HTTP: an ASGI application.

    One thread works, and `queue` requests may wait for it; what comes beyond is told to come again.
    """

    def __init__(self, model: Model, queue: int, max_body: int) -> None:
        self.draining = False
        self._model = model
        self._queue = queue
        self._max_body = max_body
        self._waiting = 0
        self._pool = ThreadPoolExecutor(1, "model")
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

        try:
            await self._routes(scope, receive, counted)
        finally:
            route = scope.get("route")
            path = _label(route.path) if isinstance(route, Route) else "other"
            self._figures.request(path, code, time.perf_counter() - started)

    async def answer(self, request: Request, work: Work) -> Response:
        """Let the model's thread do `work` on the request's body."""
        try:
            body = await self._body(request)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it, but it is counted
        except TimeoutError:
            return _json({"error": f"the body did not arrive within {BODY_SECONDS:g} s"}, 408)
        if body is None:
            return _json({"error": f"the body is larger than {self._max_body} bytes"}, 413)
        if self._waiting > self._queue:
            said = {"error": f"{self._queue} requests are waiting already; try again"}
            return _json(said, 503, {"Retry-After": RETRY_AFTER})
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            answer, said_bytes = await loop.run_in_executor(self._pool, work, self._model, body)
        except BadInput as error:
            return _json(error.document(), 422)
        finally:
            self._waiting -= 1
        self._figures.predicted(answer.predictions)
        return Response(said_bytes, media_type="application/json")

    async def _body(self, request: Request) -> bytes | None:
        """The body, or None when it is too large."""
        if int(request.headers.get("content-length", 0)) > self._max_body:
            return None
        chunks, size = [], 0
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > self._max_body:
                    return None
                chunks.append(chunk)
        return b"".join(chunks)

    async def predict(self, request: Request) -> Response:
        return await self.answer(request, protocol.predict)

    async def infer(self, request: Request) -> Response:
        self._require_model(request)
        if "inference-header-content-length" in request.headers:
            return _json({"error": "tensors in binary form are not taken; send JSON"}, 422)
        return await self.answer(request, protocol.infer)

    async def health(self, _request: Request) -> Response:
        return _json({"live": True})

    async def ready(self, _request: Request) -> Response:
        return _json({"ready": not self.draining}, 503 if self.draining else 200)

    async def metrics(self, _request: Request) -> Response:
        waiting = max(0, self._waiting - 1)  # one is being worked on
        return Response(self._figures.text(waiting), headers={"Content-Type": CONTENT_TYPE})

    async def model(self, _request: Request) -> Response:
        return _json(self._model.signature.document)

    async def server(self, _request: Request) -> Response:
        return _json({"name": "ml-pipeline", "version": self._model.signature.version, "extensions": []})

    async def model_v2(self, request: Request) -> Response:
        self._require_model(request)
        return _json(protocol.describe(self._model))

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


def _json(document: Any, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(protocol.encode(document), code, headers, "application/json")


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    said = error.detail if error.status_code == 404 and error.detail != "Not Found" else None
    said = said or {
        404: f"no page {request.url.path!r} here",
        405: f"{request.method} is not taken here",
    }.get(error.status_code, error.detail)
    return _json({"error": said}, error.status_code, dict(error.headers or {}))


async def _server_error(_request: Request, error: Exception) -> Response:
    """Starlette raises the error again afterwards, and uvicorn logs it with its traceback."""
    return _json({"error": f"the model failed ({type(error).__name__})"}, 500)
