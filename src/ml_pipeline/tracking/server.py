"""An MLflow server, over its REST API: dataclasses of its answers, and failures of one line.

MLflow's own client needs 40 packages and two seconds to load, and can't connect to another host than the
URI's. See https://mlflow.org/docs/latest/api_reference/rest-api.html.
"""

import base64
import json
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from ml_pipeline.common import reading
from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.common.redaction import hide
from ml_pipeline.common.retries import AGAIN

T = TypeVar("T")
API = "/api/2.0/mlflow"
ARTIFACTS = "mlflow-artifacts:"  # the scheme of artifacts that the server itself stores
TIMEOUT = urllib3.Timeout(connect=5, read=60)
UPLOAD = urllib3.Timeout(connect=5, read=900)  # the server answers when it has stored the file
ONCE = AGAIN.new(read=0, status=0)  # a second request would create a second object
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
    """A server at `uri`; `connect` (HOST:PORT) is where to connect instead of the URI's host.

    The login is in MLFLOW_TRACKING_TOKEN, or in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    """

    def __init__(self, uri: str, connect: str | None = None) -> None:
        self.uri = uri.rstrip("/")
        parts = urlsplit(self.uri)
        self._path = parts.path
        name = parts.hostname or ""
        host, port = name, parts.port or (443 if parts.scheme == "https" else 80)
        self._own = name, port
        if connect:
            host, _, number = connect.rpartition(":")
            port = int(number)
        self._headers = {"Host": parts.netloc, **_authorization()}
        self._pool: urllib3.HTTPConnectionPool
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._pool = urllib3.HTTPSConnectionPool(
                host, port, ssl_context=context, server_hostname=name, assert_hostname=name
            )
        else:
            self._pool = urllib3.HTTPConnectionPool(host, port)

    def get(self, kind: type[T], path: str, **query: str) -> T:
        """Return the answer to GET `path`, such as runs/get, as a dataclass."""
        return self._read(kind, self._json("GET", f"{API}/{path}?{urlencode(query)}"))

    def find(self, kind: type[T], path: str, **query: str) -> T | None:
        """Return what `get` returns, or None if the object does not exist."""
        try:
            return self.get(kind, path, **query)
        except Refused as refused:
            if refused.code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def post(self, kind: type[T], path: str, document: Mapping[str, object]) -> T:
        """Return the answer to POST `path`, as a dataclass."""
        return self._read(kind, self._json("POST", f"{API}/{path}", document))

    def send(self, path: str, document: Mapping[str, object]) -> None:
        """POST a document whose answer is not needed."""
        self._json("POST", f"{API}/{path}", document)

    def delete(self, path: str, document: Mapping[str, object]) -> None:
        """Delete what the document names."""
        self._json("DELETE", f"{API}/{path}", document)

    def stores(self, uri: str) -> bool:
        """Return whether an artifact URI, with or without a host in it, names this server's own store."""
        parts = urlsplit(uri)
        host = parts.hostname, parts.port or self._own[1]
        return f"{parts.scheme}:" == ARTIFACTS and (not parts.hostname or host == self._own)

    def put(self, uri: str, file: Path) -> None:
        """Upload a file to an artifact URI of this server."""
        path = f"/api/2.0/mlflow-artifacts/artifacts/{quote(artifact_path(uri))}"
        with file.open("rb") as stream:
            headers = {"Content-Length": str(file.stat().st_size)}
            self._ask("PUT", path, stream, headers, UPLOAD)

    def _read(self, kind: type[T], answer: Mapping[str, object]) -> T:
        try:
            return reading.read(kind, answer, ignore_unknown=True)
        except reading.DocumentError as error:
            raise StageFailure(
                f"{self.uri} answers, but not as MLflow does: {error.problem}", SET_URI
            ) from None

    def _json(
        self, method: str, path: str, document: Mapping[str, object] | None = None
    ) -> Mapping[str, object]:
        body = None if document is None else json.dumps(document).encode()
        answer = self._ask(method, path, body, {"Content-Type": "application/json"}, TIMEOUT)
        try:
            content = json.loads(answer.data or b"{}")
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise StageFailure(f"{self.uri} answers, but not as MLflow does", SET_URI)
        return content

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | BinaryIO | None,
        headers: Mapping[str, str],
        timeout: urllib3.Timeout,
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
            error = json.loads(answer.data)
            code, message = error["error_code"], one_line(error.get("message") or error["error_code"])
        except (ValueError, TypeError, KeyError):
            code, message = "", one_line(f"HTTP {answer.status} {answer.reason or ''}{_plain(answer)}")
            if answer.status not in {401, 403} and answer.status < 500:
                location = answer.headers.get("Location")
                status = f"{message} to {location}" if location else message
                return StageFailure(f"{self.uri} answers {status}, as MLflow does not", SET_URI)
        if answer.status in {401, 403}:
            hint = SET_HOSTS if "Host header" in message else SET_USER
            return Refused(f"{self.uri} refuses: {message}", hint, code or "PERMISSION_DENIED")
        return Refused(f"{self.uri} refuses: {message}", "see the server's log", code)


def artifact_path(uri: str) -> str:
    """Return the path that an artifact URI has in its server's store; it may have any character."""
    rest = uri.removeprefix(ARTIFACTS)
    return (rest[2:].partition("/")[2] if rest.startswith("//") else rest).lstrip("/")


def _authorization() -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    hide(token)
    if token:
        if len(token.split()) != 1:
            raise StageFailure("the tracking token has spaces or several lines", SET_USER)
        return {"Authorization": f"Bearer {token.strip()}"}
    username, password = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD"))
    if not username or not password:
        return {}
    # A password from a file ends in a newline.
    encoded = base64.b64encode(f"{username}:{password.rstrip()}".encode())
    hide(password, encoded.decode())
    return {"Authorization": f"Basic {encoded.decode()}"}


def _why(error: Exception) -> str:
    """Return the cause of a connection error, without the library's words around it."""
    reason = getattr(error, "reason", None) or error
    reason = next((one for one in reversed(reason.args) if isinstance(one, Exception)), reason)
    text = one_line(reason).replace("Failed to establish a new connection: ", "")
    return re.sub(r"^\w+\(.*?\): ", "", text) or type(reason).__name__


def _plain(answer: urllib3.BaseHTTPResponse) -> str:
    """Return the body of an error that is not a page for a browser."""
    is_plain = answer.headers.get("Content-Type", "").startswith("text/plain")
    return f": {answer.data.decode(errors='replace')}" if is_plain and answer.data else ""
