"""The server's routes. The work is done in `service`.

They are Starlette's and not FastAPI's, which is made of it: requests are checked against the model's own
columns, so FastAPI would only take half of the second that a start may take.
"""

import time
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ml_pipeline.model.loaded import Model
from ml_pipeline.serving import open_inference, openapi, protocol
from ml_pipeline.serving.crowd import Crowd
from ml_pipeline.serving.encoding import encoding
from ml_pipeline.serving.page import Page
from ml_pipeline.serving.prometheus import CONTENT_TYPE
from ml_pipeline.serving.protocol import Call, Reply, reply
from ml_pipeline.serving.service import Message, Receive, Service

Send = Callable[[Message], Awaitable[None]]


class Application:
    """One model over HTTP: an ASGI application.

    `crowd` limits its connections. `connection_age` is how many seconds one may live, 0: as long as its
    caller keeps it.
    """

    def __init__(self, service: Service, page: Page, crowd: Crowd, connection_age: float = 0) -> None:
        self.service = service
        self.crowd = crowd
        self.connection_age = connection_age
        self._model = service.model
        self._page = page
        self._routes = Starlette(routes=_routes(self), exception_handlers={HTTPException: _http_error})
        self._routes.router.redirect_slashes = False  # it would lead to the Host that the caller names

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, and count it."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        figures = self.service.figures
        figures.in_flight += 1
        code = 500

        async def counted(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                if self.service.draining:  # so that the caller's next request goes to another replica
                    message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        # Routing costs as much as the model does, and nearly all requests are these.
        direct = scope["path"] == "/predict" and scope["method"] == "POST"
        try:
            if direct:
                await self._predict(scope, receive, counted)
            else:
                await self._routes(scope, receive, counted)
        finally:
            route = scope.get("route")
            path = "/predict" if direct else _label(route.path) if isinstance(route, Route) else "other"
            figures.in_flight -= 1
            figures.request(path, code, time.perf_counter() - started)

    def refusal(self, url: bytes) -> bytes | None:
        """Return the whole response to a prediction that can't wait now; None for any other request."""
        refusal = self.service.refusal() if url == b"/predict" else None
        if refusal:
            self.service.figures.request("/predict", 503, 0.0)
        return refusal

    async def _predict(self, scope: Message, receive: Receive, send: Send) -> None:
        self.service.begun()
        answer = await self.service.answer(receive, protocol.read, encoding(scope["headers"]))
        headers = [(b"content-type", answer.media.encode()), (b"content-length", b"%d" % len(answer.body))]
        headers += [(name.encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.code, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def predict(self, _request: Request) -> Response:
        raise HTTPException(405)  # a POST is answered before the routes; this is for other methods

    async def infer(self, request: Request) -> Response:
        self._require_model(request)
        size = request.headers.get(open_inference.SIZE)
        if size is not None and not (size.isascii() and size.isdigit() and len(size) < 16):
            return _json({"error": f"{open_inference.SIZE}: expected a number of bytes"}, 422)

        def read(model: Model, body: bytes, most: int) -> Call:
            return open_inference.read(model, body, most, None if size is None else int(size))

        return _response(await self.service.answer(request.receive, read, encoding(request.scope["headers"])))

    async def health(self, _request: Request) -> Response:
        return _json({"live": True})

    async def ready(self, _request: Request) -> Response:
        return _json({"ready": not self.service.draining}, 503 if self.service.draining else 200)

    async def metrics(self, _request: Request) -> Response:
        return Response(self.service.metrics(), headers={"Content-Type": CONTENT_TYPE})

    async def model(self, _request: Request) -> Response:
        return _json(self._model.signature.document())

    async def openapi(self, _request: Request) -> Response:
        return _json(openapi.document(self._model))

    async def page(self, _request: Request) -> Response:
        return Response(self._page.html, headers=self._page.headers, media_type="text/html")

    async def server(self, _request: Request) -> Response:
        version = self._model.signature.version
        return _json({"name": "ml-pipeline", "version": version, "extensions": ["binary_tensor_data"]})

    async def model_v2(self, request: Request) -> Response:
        self._require_model(request)
        return _json(open_inference.describe(self._model))

    async def model_ready(self, request: Request) -> Response:
        self._require_model(request)
        document = {"name": self._model.signature.name, "ready": not self.service.draining}
        return _json(document, 503 if self.service.draining else 200)

    def _require_model(self, request: Request) -> None:
        signature = self._model.signature
        name, version = request.path_params["name"], request.path_params.get("version", signature.version)
        if (name, version) != (signature.name, signature.version):
            requested = f"{name!r} version {version!r}" if name == signature.name else repr(name)
            served = f"{signature.name!r} version {signature.version!r}"
            raise HTTPException(404, f"there is no model {requested} here, only {served}")


def _routes(app: Application) -> list[Route]:
    plain = {
        "/": app.page,
        "/health": app.health,
        "/ready": app.ready,
        "/metrics": app.metrics,
        "/model": app.model,
        "/openapi.json": app.openapi,
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


def _json(document: object, code: int = 200, **headers: str) -> Response:
    return _response(reply(document, code, **headers))


def _response(answer: Reply) -> Response:
    return Response(answer.body, answer.code, dict(answer.headers), answer.media)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    causes = {404: f"there is no page {request.url.path!r}", 405: f"{request.method} is not allowed here"}
    is_ours = error.status_code == 404 and error.detail != "Not Found"
    cause = error.detail if is_ours else causes.get(error.status_code, error.detail)
    return _json({"error": cause}, error.status_code, **(error.headers or {}))
