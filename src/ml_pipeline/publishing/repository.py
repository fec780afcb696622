"""A repository in a registry, as far as a push needs it.

The protocol: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md; the login:
https://distribution.github.io/distribution/spec/auth/token/
"""

import base64
import json
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3

from ml_pipeline.common.lines import one_line
from ml_pipeline.common.outcome import StageFailure

REACH = (
    "make it reachable from the engine's containers; without --reproducible the engine itself pushes, which "
    "may reach more"
)
LOGIN = "check --registry, --registry-username and --registry-password"
PATIENCE = urllib3.Timeout(connect=10, read=120)  # seconds

Open = Callable[[], IO[bytes]]


@dataclass
class Repository:
    """One name in a registry; `base` is its scheme and host. Methods raise StageFailure where it refuses."""

    base: str
    name: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    _authorization: str | None = field(default=None, repr=False)
    _pool: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(
            timeout=PATIENCE, retries=False, ssl_context=ssl.create_default_context()
        )
    )

    def has(self, digest: str) -> bool:
        """Tell whether the registry has a blob."""
        answer = self._ask("HEAD", f"/v2/{self.name}/blobs/{digest}")
        # A redirect to another store means that the blob exists there.
        if answer.status in {200, 301, 302, 307, 308}:
            return True
        self._expect(answer, 404)
        return False

    def upload(self, digest: str, size: int, content: Open) -> None:
        """Upload a blob, in one piece."""
        session = self._ask("POST", f"/v2/{self.name}/blobs/uploads/", {"Content-Length": "0"})
        self._expect(session, 202)
        place = urljoin(f"{self.base}/", session.headers["Location"])
        place += ("&" if urlsplit(place).query else "?") + urlencode({"digest": digest})
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._expect(self._ask("PUT", place, headers, content), 201)

    def tag(self, reference: str, media_type: str, manifest: bytes) -> None:
        """Upload a manifest under a tag."""
        path = f"/v2/{self.name}/manifests/{reference}"
        self._expect(self._ask("PUT", path, {"Content-Type": media_type}, manifest), 201)

    def _ask(
        self,
        method: str,
        place: str,
        headers: Mapping[str, str] | None = None,
        body: Open | bytes | None = None,
    ) -> urllib3.BaseHTTPResponse:
        url = urljoin(f"{self.base}/", place)
        answer = self._send(method, url, headers or {}, body)
        if answer.status == 401 and self._is_here(url):
            self._log_in(answer.headers.get("WWW-Authenticate", ""))
            answer = self._send(method, url, headers or {}, body)
        return answer

    def _is_here(self, url: str) -> bool:
        """Tell whether a URL is the registry's own: only there the login goes."""
        return urlsplit(url)[:2] == urlsplit(self.base)[:2]

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Open | bytes | None
    ) -> urllib3.BaseHTTPResponse:
        if self._authorization and self._is_here(url):
            headers = {**headers, "Authorization": self._authorization}
        return self._request(method, url, headers, body() if callable(body) else body)

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: IO[bytes] | bytes | None = None
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(method, url, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            # Not the whole URL: that of another store has a permission in it.
            cause = f"{urlsplit(url).netloc} can't be reached: {_reason(error)}"
            raise StageFailure(cause, REACH) from None

    def _log_in(self, challenge: str) -> None:
        """Do what the registry asks for: send the password, or a token that another service gives for it."""
        scheme, _, rest = challenge.partition(" ")
        basic = None
        if self.username and self.password:
            basic = "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if scheme.lower() == "basic" and basic:
            self._authorization = basic
        elif scheme.lower() == "bearer":
            words = dict(re.findall(r'(\w+)="([^"]*)"', rest))
            self._authorization = f"Bearer {self._token(words, basic)}"
        else:
            raise StageFailure(f"{self.base}/{self.name} requires a login", LOGIN)

    def _token(self, words: Mapping[str, str], basic: str | None) -> str:
        realm = words.get("realm", "")
        if self.base.startswith("https:") and not realm.startswith("https:"):
            raise StageFailure(f"{self.base} sends its logins to {realm!r}, which is not https", LOGIN)
        query = {"scope": f"repository:{self.name}:pull,push"}
        if "service" in words:
            query["service"] = words["service"]
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(query)}"
        answer = self._request("GET", url, {"Authorization": basic} if basic else {})
        self._expect(answer, 200)
        document = answer.json()
        return str(document.get("token") or document["access_token"])

    def _expect(self, answer: urllib3.BaseHTTPResponse, status: int) -> None:
        if answer.status != status:
            reason = f"{answer.status} {answer.reason}{_detail(answer.data)}"
            raise StageFailure(f"{self.base}/{self.name} refused the image: {reason}", LOGIN)


def _detail(body: bytes) -> str:
    """Return the registry's own message, where it has one in the protocol's form."""
    try:
        (first, *_) = json.loads(body)["errors"]
        return f" ({first['code']}: {one_line(first.get('message', ''))})"
    except (ValueError, TypeError, KeyError):
        return ""


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    """Return the last words of a chain of errors, without the objects that they name."""
    return one_line(error).rpartition(": ")[2]
