"""A proxy before the API server: it numbers the writes of one call, and disturbs those that a test names."""

import base64
import json
import ssl
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import urllib3
import yaml

Fault = Literal["", "kill", "409", "429", "500", "cut"]
# Refused before it is carried out, with what the API server says then.
REFUSALS = {"409": "the object has been modified", "429": "too many requests"}


class Proxy:
    """One proxy, for one call at a time.

    `plan` says what happens to a write, by its number and by what is the same when it is sent again.
    """

    def __init__(self, admin: Path, folder: Path) -> None:
        self.writes: list[str] = []
        self.away = False
        self.plan: Callable[[int, str], Fault] = lambda _number, _path: ""
        self.kill: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        config = yaml.safe_load(admin.read_text())
        self._upstream = config["clusters"][0]["cluster"]["server"]
        self._pool = _pool(config, folder)
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.kubeconfig = folder / "proxied"
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._server.server_port}"}
        config["users"][0]["user"] = {"token": "none"}
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def start(self, plan: Callable[[int, str], Fault] | None = None) -> None:
        """Count from 0 again, under a new plan; without one nothing is disturbed."""
        self.writes, self.plan = [], plan or (lambda _number, _path: "")

    def fault(self, method: str, path: str, body: bytes) -> Fault:
        """Count a request if it is a write, and say what happens to it."""
        is_renewal = "/leases/" in path and b"holderIdentity" not in body and b"annotations" not in body
        if method == "GET" or "dryRun" in path or "/proxy/" in path or is_renewal:
            return ""
        with self._lock:
            self.writes.append(f"{method} {path.partition('?')[0]}")
            return self.plan(len(self.writes) - 1, f"{method} {path} {sorted(_keys(json.loads(body)))}")

    def forward(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Any:
        return self._pool.request(
            method, self._upstream + path, body=body or None, headers=headers, retries=False
        )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if proxy.away:
                    self.close_connection = True
                    self.connection.close()
                    return
                fault = proxy.fault(self.command, self.path, body)
                if fault in REFUSALS:
                    self.say(int(fault), REFUSALS[fault])
                    return
                kept = {key: self.headers[key] for key in ("Accept", "Content-Type") if key in self.headers}
                answer = proxy.forward(self.command, self.path, body, kept)
                if fault == "500":
                    self.say(500, "etcdserver: request timed out")
                elif fault:
                    if fault == "kill":
                        proxy.kill()
                    self.close_connection = True
                    self.connection.close()
                else:
                    self.send(answer.status, answer.data)

            def say(self, code: int, message: str) -> None:
                self.send(code, json.dumps({"kind": "Status", "code": code, "message": message}).encode())

            def send(self, code: int, data: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: the callers are killed."""


def _keys(document: Any) -> set[str]:
    """Return the names of all fields in a document."""
    if isinstance(document, dict):
        return set(document).union(*map(_keys, document.values()))
    return set().union(*map(_keys, document)) if isinstance(document, list) else set()


def _pool(config: dict[str, Any], folder: Path) -> urllib3.PoolManager:
    """Return connections to the API server as the kubeconfig's user."""
    user = config["users"][0]["user"]
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    tls = ssl.create_default_context(cadata=authority)
    with tempfile.TemporaryDirectory(dir=folder) as secrets:
        files = [Path(secrets, key) for key in ("client-certificate-data", "client-key-data")]
        for file in files:
            file.write_bytes(base64.b64decode(user[file.name]))
        tls.load_cert_chain(*files)
    return urllib3.PoolManager(ssl_context=tls, maxsize=8)
