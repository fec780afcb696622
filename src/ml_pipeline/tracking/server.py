"""An MLflow server, over its REST API: plain dicts and one-line failures out.

Its own client would take 40 packages and two seconds to load, and could not ask a server under another name
than its URI's. See https://mlflow.org/docs/latest/api_reference/rest-api.html.
"""

import base64
import json
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.common.retries import AGAIN

API = "/api/2.0/mlflow"
ARTIFACTS = "mlflow-artifacts:"  # what the server keeps itself, and hands out
TIMEOUT = urllib3.Timeout(connect=5, read=60)
UPLOAD = urllib3.Timeout(connect=5, read=900)  # the server answers when it has put it where it keeps it
ONCE = AGAIN.new(read=0, status=0)  # what would be there twice
SET_URI = (
    "check --tracking-uri; for a server on your loopback pass --tracking-server=tcp://localhost:PORT too"
)
SET_USER = "check --tracking-username and --tracking-password, and what they are allowed to"
SET_HOSTS = "name the host of --tracking-uri in mlflow server --allowed-hosts"


class Refused(StageFailure):
    """The server answers with an error; `code` is MLflow's, such as RESOURCE_DOES_NOT_EXIST."""

    def __init__(self, cause: str, hint: str, code: str) -> None:
        super().__init__(cause, hint)
        self.code = code


class Server:
    """A server at `uri`, reached at `connect` (HOST:PORT) where its own name leads elsewhere.

    Who asks is in MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    """

    def __init__(self, uri: str, connect: str | None = None) -> None:
        self.uri = uri.rstrip("/")
        parts = urlsplit(self.uri)
        self._path = parts.path
        named = parts.hostname or ""
        host, port = named, parts.port or (443 if parts.scheme == "https" else 80)
        if connect:
            host, _, number = connect.rpartition(":")
            port = int(number)
        self._headers = {"Host": parts.netloc, **_authorization()}
        self._pool: urllib3.HTTPConnectionPool
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._pool = urllib3.HTTPSConnectionPool(
                host, port, ssl_context=context, server_hostname=named, assert_hostname=named
            )
        else:
            self._pool = urllib3.HTTPConnectionPool(host, port)

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Ask for what `path`, such as runs/get, names."""
        return self._json("GET", f"{API}/{path}?{urlencode(query)}")

    def post(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Have something made or changed."""
        return self._json("POST", f"{API}/{path}", document)

    def delete(self, path: str, document: Mapping[str, Any]) -> None:
        self._json("DELETE", f"{API}/{path}", document)

    def found(self, path: str, **query: str) -> dict[str, Any] | None:
        """As `get`, but None where it does not exist."""
        try:
            return self.get(path, **query)
        except Refused as refused:
            if refused.code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def put(self, place: str, file: Path) -> None:
        """Upload a file to a URI of the artifacts that the server keeps."""
        path = f"/api/2.0/mlflow-artifacts/artifacts/{quote(place.removeprefix(ARTIFACTS).lstrip('/'))}"
        with file.open("rb") as stream:
            headers = {"Content-Length": str(file.stat().st_size)}
            self._ask("PUT", path, stream, headers, UPLOAD)

    def _json(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = None if document is None else json.dumps(document).encode()
        answer = self._ask(method, path, body, {"Content-Type": "application/json"}, TIMEOUT)
        try:
            told = json.loads(answer.data or b"{}")
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise StageFailure(f"{self.uri} answers, but not as MLflow does", SET_URI)
        return told

    def _ask(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], timeout: urllib3.Timeout
    ) -> urllib3.BaseHTTPResponse:
        retries = ONCE if path.endswith("/create") else AGAIN
        try:
            answer = self._pool.request(
                method,
                self._path + path,
                body=body,
                headers={**self._headers, **headers},
                timeout=timeout,
                retries=retries,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise StageFailure(f"{self.uri} can't be reached: {_why(error)}", SET_URI) from None
        if answer.status >= 300:
            raise self._refused(answer)
        return answer

    def _refused(self, answer: urllib3.BaseHTTPResponse) -> StageFailure:
        try:
            told = json.loads(answer.data)
            code, message = told["error_code"], one_line(told.get("message") or told["error_code"])
        except (ValueError, TypeError, KeyError):
            code, message = "", one_line(f"HTTP {answer.status} {answer.reason or ''}{_plain(answer)}")
            if answer.status not in {401, 403} and answer.status < 500:
                to = answer.headers.get("Location")
                what = f"{message}{f' to {to}' if to else ''}, as MLflow does not"
                return StageFailure(f"{self.uri} answers {what}", SET_URI)
        if answer.status in {401, 403}:
            hint = SET_HOSTS if "Host header" in message else SET_USER
            return Refused(f"{self.uri} refuses: {message}", hint, code or "PERMISSION_DENIED")
        return Refused(f"{self.uri} refuses: {message}", "see the server's log", code)


def _authorization() -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if token:
        return {"Authorization": f"Bearer {token.strip()}"}
    username, password = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD"))
    if not username or not password:
        return {}
    # A file's last line ends too.
    encoded = base64.b64encode(f"{username}:{password.rstrip()}".encode())
    return {"Authorization": f"Basic {encoded.decode()}"}


def _why(error: Exception) -> str:
    """Return the cause without the library's words around it."""
    reason = getattr(error, "reason", None) or error
    reason = next((one for one in reversed(reason.args) if isinstance(one, Exception)), reason)
    text = one_line(reason).replace("Failed to establish a new connection: ", "")
    return re.sub(r"^\w+\(.*?\): ", "", text) or type(reason).__name__


def _plain(answer: urllib3.BaseHTTPResponse) -> str:
    """Return what a server says that is not for a browser."""
    is_plain = answer.headers.get("Content-Type", "").startswith("text/plain")
    return f": {answer.data.decode(errors='replace')}" if is_plain and answer.data else ""
