"""Serve a model over HTTP until SIGTERM, then finish the open requests and exit.

    ML_MODEL=/model ML_PORT=8000 python -m ml_pipeline.serving.serve

`POST /predict` takes {"instances": [{column: value, …}, …]}. There are also a page to try the model at /,
/openapi.json, /health, /ready, /metrics, /model, and the Open Inference Protocol v2 under /v2.

All settings are environment variables, as containers have them:

    ML_MODEL           the folder with the model (default /model)
    ML_PORT            the port; 0 takes any free one (8000)
    ML_QUEUE           how many requests may wait in a burst (64)
    ML_STANDING        how many requests may wait under sustained overload (16)
    ML_MAX_BODY        the largest body of a request, in bytes (8388608)
    ML_MAX_BODIES      bytes of all large bodies that are under way (33554432)
    ML_MAX_ROWS        rows of a request; fewer if the model has more than 100 classes (10000)
    ML_CONNECTIONS     how many connections may be open; beyond that, silent ones end (1000)
    ML_SILENCE         seconds that a caller may be silent within a request, or take nothing of an answer (10)
    ML_DRAIN           seconds between SIGTERM and closing, for load balancers to notice (3)
    ML_CONNECTION_AGE  seconds until an answer ends a connection that its caller keeps; 0: never (5)
    ML_THREADS         threads of ONNX Runtime (1 for a fast model, else all processors)
"""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypedDict

import uvicorn

from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.model.loaded import Model, load, processors
from ml_pipeline.serving import limits
from ml_pipeline.serving.application import Application
from ml_pipeline.serving.connection import Protocol
from ml_pipeline.serving.contract import DRAIN_VARIABLE, MODEL, PORT
from ml_pipeline.serving.crowd import Crowd, limit
from ml_pipeline.serving.monitor import monitor, read_record
from ml_pipeline.serving.pace import Pace, measure
from ml_pipeline.serving.page import page
from ml_pipeline.serving.service import Service

KEEP_ALIVE = 75  # seconds; load balancers usually close after 60, and should be the first to close
BACKLOG = 1024  # connections that the system takes before the server does
ACCEPTED = 64  # connections that the server takes in one turn of its event loop; see crowd.RESERVE
SWEEP = 5  # ticks of 0.1 s between two looks at all connections
GRACE = 20  # seconds for open requests; Kubernetes sends SIGKILL after 30


class Details(TypedDict):
    """The outcome's details."""

    port: int


class Server(uvicorn.Server):  # type: ignore[misc]
    """A server that ends in two steps: `/ready` fails from SIGTERM on, and `drain` seconds later it closes.

    In between it still answers new requests: a load balancer needs a moment to notice `/ready`.
    """

    def __init__(self, config: uvicorn.Config, application: Application, drain: float) -> None:
        super().__init__(config)
        self._application = application
        self._drain = drain
        self._until: int | None = None  # in ticks of 0.1 s, see on_tick

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if sig == signal.SIGTERM and not self._application.service.draining:
            self._application.service.draining = True
            self._until = round(self._drain * 10)
        else:
            self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for one in sockets or ():
            one.listen(BACKLOG)  # asyncio has made it ACCEPTED

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP == 0:
            crowd, connections = self._application.crowd, self.server_state.connections
            crowd.sweep(connections, asyncio.get_running_loop().time())
        if self._until is not None:
            self.should_exit |= self._until <= 0
            self._until -= 1
        return bool(await super().on_tick(counter))


def serve() -> Details:
    """Load the model, bind the port, serve. Raises `StageFailure`, before anything is served."""
    port = int(limits.setting("ML_PORT", PORT, 0))
    limited = limits.read()
    crowd = Crowd(limit(limited.connections), limited.silence)
    drain = limits.setting(DRAIN_VARIABLE, 3, 0)
    age = limits.setting("ML_CONNECTION_AGE", 5, 0)
    folder = Path(os.environ.get("ML_MODEL", MODEL))
    model, pace = _loaded(folder, int(limits.setting("ML_THREADS", 0, 0)))
    record = read_record(folder)
    names = [column.name for column in model.columns]
    watch = monitor(record, names, model.signature.classes) if record else None
    application = Application(Service(model, pace, limited, watch), page(model, record), crowd, age)
    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        lifespan="off",
        loop="asyncio",
        http=Protocol,
        proxy_headers=False,  # the caller's address is not used
        server_header=False,
        backlog=ACCEPTED,
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
    """Load the model with one thread, and again with all if it is slow: a small model is slower with more."""
    model = load(folder, threads or 1)
    pace = measure(model)
    if not threads and not pace.inline and model.signature.runtime == "onnx" and processors() > 1:
        model = load(folder)
        pace = measure(model)
    return model, pace


def _listen(port: int) -> socket.socket:
    """Listen on all addresses of the container, of IPv6 and IPv4; on those of IPv4 if there is no IPv6."""
    try:
        return _listening(socket.AF_INET6, "::", port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(port, error) from None
    try:
        return _listening(socket.AF_INET, "0.0.0.0", port)  # noqa: S104 - all addresses of the container
    except OSError as error:
        raise _taken(port, error) from None


def _taken(port: int, error: OSError) -> StageFailure:
    cause = f"port {port} can't be bound ({error.strerror})"
    return StageFailure(cause, "choose another one with ML_PORT")


def _listening(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    # IPPROTO_TCP: without it asyncio leaves Nagle's algorithm on, and each answer waits 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind((address, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Serve, and end the process."""
    parser = command_line.parser("serving.serve", __doc__)
    parser.parse_args(arguments)
    run_stage("serve", lambda: {**serve()})


if __name__ == "__main__":
    main()
