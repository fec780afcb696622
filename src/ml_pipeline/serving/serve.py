"""Serve the model folder over HTTP until SIGTERM, then answer what is under way and end.

    ML_MODEL=/model ML_PORT=8000 python -m ml_pipeline.serving.serve

`POST /predict` takes {"instances": [{column: value, …}]}. Also: a page to try it at /, /openapi.json,
/health, /ready, /metrics, /model, and the Open Inference Protocol v2 under /v2.
"""

import argparse
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.model.loaded import Model, load, processors
from ml_pipeline.serving.application import Application
from ml_pipeline.serving.connection import Protocol
from ml_pipeline.serving.monitor import monitor
from ml_pipeline.serving.pace import Pace, measure
from ml_pipeline.serving.page import page
from ml_pipeline.serving.service import Limits, Service

KEEP_ALIVE = 75  # seconds; longer than a load balancer's usual 60, so that it is not the server that hangs up
BACKLOG = 1024
GRACE = 20  # seconds for requests under way, below Kubernetes's 30 until SIGKILL


class Server(uvicorn.Server):  # type: ignore[misc]
    """Ends in two steps: not ready from SIGTERM on, closed `drain` seconds later.

    In between, new requests are still answered: a load balancer needs a moment to see `/ready`.
    """

    def __init__(self, config: Any, application: Application, drain: float) -> None:
        super().__init__(config)
        self._application = application
        self._drain = drain
        self._until: int | None = None  # in ticks of the loop below, of a tenth of a second

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if sig == signal.SIGTERM and not self._application.service.draining:
            self._application.service.draining = True
            self._until = round(self._drain * 10)
        else:
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        if self._until is not None:
            self.should_exit |= self._until <= 0
            self._until -= 1
        return bool(await super().on_tick(counter))


def serve() -> dict[str, Any]:
    """Load, bind, serve. Raises `StageFailure` before anything is served."""
    port = int(_setting("ML_PORT", 8000, 0))
    limits = Limits(
        queue=int(_setting("ML_QUEUE", 64, 0)),
        standing=int(_setting("ML_STANDING", 16, 1)),
        max_body=int(_setting("ML_MAX_BODY", 8 << 20, 1)),
    )
    drain = _setting("ML_DRAIN", 3, 0)
    folder = Path(os.environ.get("ML_MODEL", "/model"))
    model, pace = _loaded(folder, int(_setting("ML_THREADS", 0, 0)))
    inputs = monitor(folder, [column.name for column in model.columns], model.signature.classes)
    application = Application(Service(model, pace, limits, inputs), page(model, folder))
    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        lifespan="off",
        loop="asyncio",
        http=Protocol,
        proxy_headers=False,  # nobody asks who the caller is
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
    listening = _listen(port)
    signature = model.signature
    port = listening.getsockname()[1]
    print(f"{signature.name} version {signature.version} on port {port}", flush=True)
    Server(config, application, drain).run(sockets=[listening])
    return {"port": port}


def _loaded(folder: Path, threads: int) -> tuple[Model, Pace]:
    """Load with one thread, and with all only where one is not quick: for a small model they cost time."""
    model = load(folder, threads or 1)
    pace = measure(model)
    if not threads and not pace.inline and model.signature.runtime == "onnx" and processors() > 1:
        model = load(folder)
        pace = measure(model)
    return model, pace


def _listen(port: int) -> socket.socket:
    # Said to be TCP in so many words: else asyncio leaves Nagle's algorithm on, and each answer waits 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("0.0.0.0", port))  # noqa: S104 - all that the container has
    except OSError as error:
        cause = f"port {port} can't be bound ({error.strerror})"
        raise StageFailure(cause, "choose another by ML_PORT") from None
    listening.listen(BACKLOG)
    return listening


def _setting(name: str, default: float, least: float) -> float:
    text = os.environ.get(name, "")
    try:
        value = float(text or default)
    except ValueError:
        value = least - 1
    if not least <= value < float("inf"):
        raise StageFailure(
            f"{name}={text} is not a number of at least {least:g}", f"set it, or leave {default:g}"
        )
    return value


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve. Everything is set by the environment, as containers are."""
    parser = argparse.ArgumentParser(
        prog="python -m ml_pipeline.serving.serve",
        description="Serve a model over HTTP.",
        epilog="ML_MODEL: the model's folder (/model). ML_PORT (8000; 0 takes a free one). "
        "ML_QUEUE: requests that may wait in a burst (64). ML_STANDING: and in lasting overload (16). "
        "ML_MAX_BODY: bytes (8388608). ML_DRAIN: seconds between SIGTERM and closing (3). "
        "ML_THREADS (1 for a quick model, else all processors).",
    )
    parser.parse_args(arguments)
    run_stage("serve", serve)


if __name__ == "__main__":
    main()
