"""A package index with a password, and one package."""

import base64
import contextlib
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab import paths

PASSWORD = "open-sesame"  # noqa: S105 - of the index below
CREDENTIALS = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
WHEEL = "hidden_gem-1.0-py3-none-any.whl"


def wheel() -> bytes:
    """Return a package that holds one number."""
    folder = "hidden_gem-1.0.dist-info"
    files = {
        "hidden_gem.py": "VALUE = 42\n",
        f"{folder}/METADATA": "Metadata-Version: 2.1\nName: hidden-gem\nVersion: 1.0\n",
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{folder}/RECORD": "",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


CONTENT = wheel()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class _Index(BaseHTTPRequestHandler):
    """One package, for those who know the password."""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != CREDENTIALS:
            self._say(401, b"")
        elif self.path == "/simple/hidden-gem/":
            self._say(200, f'<a href="/{WHEEL}">{WHEEL}</a>'.encode(), "text/html")
        elif self.path == f"/{WHEEL}":
            self._say(200, CONTENT)
        else:
            self._say(404, b"")

    do_HEAD = do_GET  # noqa: N815

    def _say(self, status: int, body: bytes, kind: str = "application/octet-stream") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="gems"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Serve the index on the address that the lab's containers know this machine by; yield HOST:PORT/PATH."""
    server = ThreadingHTTPServer((paths.ENGINE_GATEWAY, 0), _Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"{paths.ENGINE_GATEWAY}:{server.server_port}/simple"
    server.shutdown()
    server.server_close()
