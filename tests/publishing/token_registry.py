"""A registry that wants a token from another service, and blobs at another place, as large ones do."""

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

USERNAME, PASSWORD, TOKEN = "me", "open-sesame", "t0ken"
BASIC = "Basic " + base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()


@dataclass
class Registry:
    """What it has; its store of blobs has an address of its own, and permissions in the addresses."""

    address: str = ""
    store: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    scopes: list[str] = field(default_factory=list)
    store_asks: bool = False  # for a login of its own, which it must not get
    store_logins: list[str | None] = field(default_factory=list)  # each Authorization


@contextlib.contextmanager
def serving() -> Iterator[Registry]:
    """Serve one on this machine."""
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url, login = urlsplit(self.path), self.headers.get("Authorization")
            asked = {key: value[0] for key, value in parse_qs(url.query).items()}
            if url.path == "/token":
                registry.scopes.append(asked["scope"])
                if login == BASIC and asked["service"] == "here":
                    self._say(200, json.dumps({"token": TOKEN}))
                else:
                    self._say(401, json.dumps({"errors": [{"code": "DENIED", "message": "who\nare you"}]}))
            elif url.path == "/store" and registry.store_asks:
                registry.store_logins.append(login)
                realm = f'Bearer realm="http://{registry.store}/token",service="here"'
                self._say(401, **{"WWW-Authenticate": realm})
            elif url.path == "/store":
                registry.store_logins.append(login)
                content = body if asked["permission"] == "yes" else b""
                assert asked["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
                registry.blobs[asked["digest"]] = content
                self._say(201)
            elif login != f"Bearer {TOKEN}":
                realm = f'Bearer realm="http://{registry.address}/token",service="here"'
                self._say(401, **{"WWW-Authenticate": realm})
            elif url.path.startswith("/v2/models/adult/blobs/sha256:"):
                self._say(200 if url.path.rpartition("/")[2] in registry.blobs else 404)
            elif (self.command, url.path) == ("POST", "/v2/models/adult/blobs/uploads/"):
                self._say(202, Location=f"http://{registry.store}/store?permission=yes")
            elif (self.command, url.path) == ("PUT", "/v2/models/adult/manifests/1"):
                registry.manifests["1"] = body
                self._say(201)
            else:
                self._say(400)

        do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815 - http.server's names

        def _say(self, status: int, text: str = "", **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with contextlib.ExitStack() as servers:
        for name in ("address", "store"):
            server = servers.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            servers.callback(server.shutdown)
            setattr(registry, name, f"127.0.0.1:{server.server_address[1]}")
        yield registry
