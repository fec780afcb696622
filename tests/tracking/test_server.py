"""The tracking stage and what is no MLflow server, or one behind TLS."""

import contextlib
import http.server
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import programs
from tests.odd_images import serving

pytestmark = pytest.mark.program

EXPERIMENT = {
    "experiment": {
        "experiment_id": "1",
        "lifecycle_stage": "active",
        "artifact_location": "mlflow-artifacts:/1",
    }
}
SET_URI = (
    "check --tracking-uri; for a server on your loopback pass --tracking-server=tcp://localhost:PORT too"
)
HOST = "mlflow.example"


def opened(uri: str, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return programs.run("tracking.track", "open", "--uri", uri, "--name", "club", *words, **variables)


def test_nobody_there() -> None:
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    done = opened(f"http://localhost:{port}")
    assert done.returncode == 1
    assert done.stderr == (
        f"experiment: http://localhost:{port} can't be reached: [Errno 111] Connection refused; {SET_URI}\n"
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, "hello"), "answers, but not as MLflow does"),
        ((200, "[]"), "answers, but not as MLflow does"),
        ((404, "nothing here"), "answers HTTP 404 Not Found, as MLflow does not"),
        ((301, ""), "answers HTTP 301 Moved Permanently, as MLflow does not"),
    ],
)
def test_another_server(answer: tuple[int, str], said: str) -> None:
    with serving(lambda _path, _body: answer) as uri:
        done = opened(uri)
    assert done.returncode == 1
    assert done.stderr == f"experiment: {uri} {said}; {SET_URI}\n"


def test_an_error_of_the_server_s_is_asked_again_and_told() -> None:
    asked: list[str] = []

    def answer(path: str, body: bytes) -> tuple[int, str]:
        asked.append(path)
        return 503, json.dumps({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "the store\nis down."})

    with serving(answer) as uri:
        done = opened(uri)
    assert done.returncode == 1
    assert done.stderr == f"experiment: {uri} refuses: the store is down; see the server's log\n"
    assert len(asked) > 1


class _Tokens(http.server.BaseHTTPRequestHandler):
    """Answers as MLflow would; keeps what it was told."""

    told: list[Any] = []  # noqa: RUF012 - what the tests read

    def do_GET(self) -> None:
        self.told.append((self.path, self.headers["Host"], self.headers["Authorization"]))
        body = json.dumps(EXPERIMENT).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def behind_tls(folder: Path) -> Iterator[int]:
    """Serve as mlflow.example, by a certificate of its own; yield the port."""
    files = ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem"]
    names = [
        "-subj",
        f"/CN={HOST}",
        "-addext",
        f"subjectAltName=DNS:{HOST}",
        "-addext",
        "keyUsage=digitalSignature,keyCertSign",
    ]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(make, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Tokens) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_server_behind_tls_that_is_reached_elsewhere_takes_a_token(tmp_path: Path) -> None:
    known = {"SSL_CERT_FILE": str(tmp_path / "certificate.pem"), "MLFLOW_TRACKING_TOKEN": "tok-1234\n"}
    with behind_tls(tmp_path) as port:
        connect = ("--connect", f"127.0.0.1:{port}")
        done = opened(f"https://{HOST}/tools/mlflow/", *connect, **known)
        assert done.returncode == 0, done.stderr
        path, host, authorization = _Tokens.told.pop()
        assert path.startswith("/tools/mlflow/api/2.0/mlflow/experiments/get-by-name?")
        assert (host, authorization) == (HOST, "Bearer tok-1234")
        wrong = opened("https://other.example", *connect, **known)
        assert "hostname 'other.example' doesn't match 'mlflow.example'" in wrong.stderr
        unknown = opened(f"https://{HOST}", *connect)
        assert "certificate verify failed" in unknown.stderr
        assert _Tokens.told == []
