"""One namespace of a cluster, through the official client: plain dicts and one-line failures out."""

import json
import os
import re
import ssl
import tempfile
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import urllib3
from kubernetes.client import ApiClient, ApiException, Configuration
from kubernetes.config import ConfigException, load_kube_config_from_dict

from ml_pipeline.manifests import MANAGER
from ml_pipeline.stages.kubeconfig import not_one
from ml_pipeline.stages.outcome import StageFailure

APIS = {"deployments": "/apis/apps/v1", "replicasets": "/apis/apps/v1"}  # the others are in the core API
TIMEOUT_S = (5, 30)  # to connect, to read
RETRIES = urllib3.Retry(
    total=4,
    connect=2,
    read=2,
    redirect=False,
    other=0,  # a certificate that is wrong stays so
    backoff_factor=0.2,
    status_forcelist=(429, 502, 503, 504),
    allowed_methods={"GET", "PATCH", "DELETE"},  # each of ours may be done twice
    raise_on_status=False,
)
MEMORY = "/dev/shm"  # noqa: S108 - a private folder in it


class Unreachable(StageFailure):
    """No answer came from the API server, or one that asks to try again."""


class Refused(StageFailure):
    """The API server answered, and the answer is an error; `code` is HTTP's."""

    def __init__(self, cause: str, hint: str, code: int) -> None:
        super().__init__(cause, hint)
        self.code = code


class Cluster:
    """One namespace of one cluster."""

    def __init__(self, kubeconfig: dict[str, Any], namespace: str) -> None:
        """Connect as a kubeconfig says that `read_kubeconfig` gave."""
        self.namespace = namespace
        self._client = _client(kubeconfig)
        self.address = self._client.configuration.host

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object, or None where it (or its namespace) does not exist."""
        try:
            return self._json("GET", self._path(kind, name))
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def list(self, kind: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """The objects that have all `labels`."""
        wanted = ",".join(f"{k}={v}" for k, v in labels.items())
        answer = self._json("GET", f"{self._path(kind)}?labelSelector={quote(wanted)}")
        found: list[dict[str, Any]] = answer["items"]
        return found

    def apply(self, kind: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create or update by server-side apply; what others set in these fields is overruled."""
        path = self._path(kind, manifest["metadata"]["name"])
        path += f"?fieldManager={MANAGER}&force=true"
        return self._json("PATCH", path, manifest, "application/apply-patch+yaml")

    def annotate(self, kind: str, name: str, annotations: Mapping[str, str]) -> dict[str, Any]:
        """Set annotations that `apply` leaves alone, for they have another field manager."""
        path = f"{self._path(kind, name)}?fieldManager={MANAGER}-history"
        body = {"metadata": {"annotations": annotations}}
        return self._json("PATCH", path, body, "application/merge-patch+json")

    def create_namespace(self, manifest: Mapping[str, Any]) -> None:
        """Create it, unless it exists."""
        try:
            self._json("POST", "/api/v1/namespaces", manifest)
        except Refused as refused:
            if refused.code != 409:
                raise

    def delete(self, kind: str, name: str) -> None:
        """Delete it, if it exists; it is gone when all that it owns is."""
        try:
            self._json("DELETE", self._path(kind, name), {"propagationPolicy": "Foreground"})
        except Refused as refused:
            if refused.code != 404:
                raise

    def last_log_line(self, pod: str) -> str:
        """The last line that a pod's container wrote, of its ended run where there is one; "" if none."""
        for previous in ("true", "false"):
            try:
                path = f"{self._path('pods', pod)}/log?tailLines=5&previous={previous}"
                lines = self._send("GET", path).data.decode(errors="replace").split("\n")
            except (Refused, Unreachable):
                continue
            return next((" ".join(line.split())[:300] for line in reversed(lines) if line.strip()), "")
        return ""

    def ask(self, pod: str, port: int, path: str, body: Any = None) -> tuple[int, bytes]:
        """Ask a pod itself, through the API server: the status and the body of its answer."""
        path = f"{self._path('pods', f'{pod}:{port}')}/proxy{path}"
        response = self._send("GET" if body is None else "POST", path, body, through=True)
        return response.status, response.data

    def _path(self, kind: str, name: str = "") -> str:
        path = f"{APIS.get(kind, '/api/v1')}/namespaces/{quote(self.namespace, safe='')}/{kind}"
        return f"{path}/{quote(name, safe=':')}" if name else path

    def _json(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(self._send(method, path, body, kind).data)
        except ValueError:
            raise StageFailure(f"{self.address} answers no JSON", "check the address") from None
        return answer

    def _send(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        *,
        through: bool = False,
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = dict(self._pool.headers) | ({"Content-Type": kind} if data else {})
        try:
            response = self._pool.request(method, self._prefix + path, body=data, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        if response.status >= 300 and not (through and not _is_status(response.data)):
            raise self._refused(response.status, response.data)
        return response

    def _unreachable(self, error: Exception) -> StageFailure:
        reason = getattr(error, "reason", None) or error
        # urllib3 puts the connection before what happened, OpenSSL its source line behind it.
        why = re.sub(
            r"^\S*Connection\w*\([^)]*\): |\s*\(_ssl\.c:\d+\)|^.*object at 0x\w+>: ", "", str(reason)
        )
        # A tunnel to a port that nobody listens on takes the connection and closes it.
        if isinstance(reason, urllib3.exceptions.SSLError) and "EOF" not in why:
            hint = "the kubeconfig must be this cluster's: check its certificate-authority-data and server"
            return StageFailure(f"TLS with the API server {self.address} fails: {why}", hint)
        hint = "check that the cluster runs; for one on your loopback pass --kube-api=tcp://localhost:PORT"
        return Unreachable(f"the API server {self.address} is not reachable: {why}", hint)

    def _refused(self, code: int, data: bytes) -> StageFailure:
        message = " ".join(_message(data).split())[:500]
        if code == 401:
            hint = "take one whose token or certificate is valid and has not expired"
            return Refused("the cluster does not know the kubeconfig's user (401)", hint, code)
        found = re.search(r'cannot (\w+) resource "([\w./]+)"', message)
        if code == 403 and found:
            cause = f"the kubeconfig's user may not {found[1]} {found[2]} in namespace {self.namespace}"
            return Refused(cause, "grant it the Role in the README", code)
        if code == 429 or code >= 500:
            return Unreachable(
                f"the API server answers {code}: {message}", "try again when the cluster is well"
            )
        if not _is_status(data):  # so that no stranger's 404 passes for "there is none yet"
            cause = (
                f"{self.address} does not answer as a Kubernetes API server does ({code}): {message[:100]}"
            )
            return StageFailure(cause, "check the address")
        return Refused(f"the cluster refuses ({code}): {message}", "change what it names", code)


def _address(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        if url.scheme in {"http", "https"} and url.hostname and url.port != 0:
            return url
    except ValueError:
        pass
    raise StageFailure(f"--api-server {text!r} is no address", "write https://HOST:PORT")


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data).get("message", ""))
    except (ValueError, AttributeError):
        return data.decode(errors="replace")


def _is_status(data: bytes) -> bool:
    """Whether an error is the API server's own, not one that a pod answered through it."""
    try:
        document = json.loads(data)
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("kind") == "Status"
