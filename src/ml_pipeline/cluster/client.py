"""One namespace of a cluster, through the official client: plain objects and one-line failures."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

import urllib3
from kubernetes.client import ApiException

from ml_pipeline.cluster.connection import connect
from ml_pipeline.cluster.errors import Conflict, NoAnswer, Refused, Unreachable
from ml_pipeline.cluster.fields import Json, Object, labels_of, objects, text
from ml_pipeline.cluster.kubeconfig import Section, user_of
from ml_pipeline.cluster.objects import MANAGER
from ml_pipeline.common.lines import last_line, one_line
from ml_pipeline.common.outcome import StageFailure

APIS = {
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "jobs": "/apis/batch/v1",
    "leases": "/apis/coordination.k8s.io/v1",
}  # the others are in the core API
TIMEOUT_S = (5, 30)  # to connect, to read
UP_S = 2  # within which an API server that works says its version
DRY = {"dryRun": "All"}


class Cluster:
    """One namespace of one cluster."""

    def __init__(self, kubeconfig: Section, namespace: str) -> None:
        """Connect with a kubeconfig, as `read_kubeconfig` returns it."""
        self.namespace = namespace
        self.guard: Callable[[], object] = lambda: None  # called before each change; may raise
        self._client, self._direct = connect(kubeconfig)
        self.address = self._client.configuration.host
        self.user = user_of(kubeconfig)

    def get(self, kind: str, name: str) -> Object | None:
        """Return an object, or None if it (or its namespace) does not exist."""
        try:
            return self._json("GET", self._path(kind, name))
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def owned(self, kind: str, name: str) -> Object | None:
        """Return what `get` returns. Raises StageFailure for an object that another made."""
        thing = self.get(kind, name)
        if thing is not None and labels_of(thing).get("app.kubernetes.io/managed-by") != MANAGER:
            where = f"{text(thing, 'kind')} {name} in namespace {self.namespace}"
            raise StageFailure(f"{where} was not created by {MANAGER}", "use another name, or delete it")
        return thing

    def list_all(self, kind: str, *, everywhere: bool = False) -> list[Object]:
        """Return all objects of a kind in the namespace, or in the whole cluster."""
        path = f"{APIS.get(kind, '/api/v1')}/{kind}" if everywhere else self._path(kind)
        return objects(self._json("GET", path), "items")

    def list(self, kind: str, labels: Mapping[str, str | Sequence[str]]) -> list[Object]:
        """Return the objects that have all `labels`; a sequence holds the values that one may have."""
        either = (
            f"{key}={value}" if isinstance(value, str) else f"{key} in ({','.join(value)})"
            for key, value in labels.items()
        )
        return objects(
            self._json("GET", self._path(kind), query={"labelSelector": ",".join(either)}), "items"
        )

    def apply(self, kind: str, manifest: Object, *, force: bool = False, dry_run: bool = False) -> Object:
        """Create or update by server-side apply; return the object.

        A `resourceVersion` in the manifest's metadata is a precondition. Without `force` it is refused where
        another manager set one of these fields to another value. With `dry_run` nothing is stored.
        """
        path = self._path(kind, text(manifest, "metadata", "name"))
        query = {"fieldManager": MANAGER, "force": str(force).lower()} | (DRY if dry_run else {})
        return self._json("PATCH", path, manifest, kind="application/apply-patch+yaml", query=query)

    def patch(self, kind: str, name: str, change: Object) -> Object:
        """Change the fields that are in `change`; its `metadata.resourceVersion` is a precondition."""
        path, query = self._path(kind, name), {"fieldManager": MANAGER}
        return self._json("PATCH", path, change, kind="application/merge-patch+json", query=query)

    def create(self, kind: str, manifest: Object) -> Object:
        """Create an object. Raises Refused, with code 409, where one of this name exists."""
        return self._json("POST", self._path(kind), manifest, query={"fieldManager": MANAGER})

    def create_namespace(self, manifest: Object) -> None:
        """Create a namespace, unless it exists."""
        try:
            self._json("POST", "/api/v1/namespaces", manifest)
        except Refused as refused:
            if refused.code != 409:
                raise

    def delete(self, kind: str, name: str, uid: str = "") -> None:
        """Delete an object, if it exists; it is gone when everything that it owns is gone.

        With `uid`, another object of the same name is left alone.
        """
        precondition: dict[str, Json] = {"preconditions": {"uid": uid}} if uid else {}
        try:
            body = {"propagationPolicy": "Foreground"} | precondition
            self._json("DELETE", self._path(kind, name), body)
        except Refused as refused:
            if refused.code != 404 and not (uid and refused.code == 409):
                raise

    def last_log_line(self, pod: str) -> str:
        """Return the last line of a pod's container, of its previous run where there was one; "" if none."""
        for previous in ("true", "false"):
            try:
                path = f"{self._path('pods', pod)}/log"
                _, data = self._send("GET", path, query={"tailLines": "5", "previous": previous})
            except (Refused, Unreachable):
                continue
            return last_line(data)
        return ""

    def log(self, pod: str, since: str) -> str:
        """Return what a pod's container wrote from the second `since` on, each line after its time."""
        query = {"timestamps": "true"} | ({"sinceTime": since} if since else {})
        try:
            _, data = self._send("GET", f"{self._path('pods', pod)}/log", query=query)
        except Refused as refused:
            if refused.code == 403:
                raise
            return ""  # it has not started, or is gone
        return data.decode(errors="replace")

    def ask(
        self, pod: str, port: int, path: str, body: Json = None, *, patience_s: float = 0
    ) -> tuple[int, bytes]:
        """Send a request to a pod itself, through the API server; return its answer's status and body.

        With `patience_s` it is sent once only, and NoAnswer is raised if the pod has not answered by then.
        Several threads may ask at once.
        """
        path = f"{self._path('pods', f'{pod}:{port}')}/proxy{path}"
        return self._send("GET" if body is None else "POST", path, body, pod=pod, patience_s=patience_s)

    def _path(self, kind: str, name: str = "") -> str:
        path = f"{APIS.get(kind, '/api/v1')}/namespaces/{quote(self.namespace, safe='')}/{kind}"
        return f"{path}/{quote(name, safe=':')}" if name else path

    def _json(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        if method != "GET" and not path.endswith("/leases") and "/leases/" not in path:
            self.guard()
        try:
            answer = json.loads(self._send(method, path, body, kind, query)[1])
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise StageFailure(f"{self.address} does not answer with JSON", "check the address")
        return answer

    def _send(
        self,
        method: str,
        path: str,
        body: Json = None,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
        *,
        pod: str = "",
        patience_s: float = 0,
    ) -> tuple[int, bytes]:
        try:
            response = (self._direct if patience_s else self._client).call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": kind},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,  # the client's models would drop what they do not know
                _return_http_data_only=True,
                _request_timeout=(TIMEOUT_S[0], patience_s or TIMEOUT_S[1]),
            )
            return response.status, response.data
        except ApiException as error:
            data = error.body or b""
            if pod and not _status(data):
                return error.status, data
            raise self._refused(error.status, data) from None
        except urllib3.exceptions.HTTPError as error:
            if pod and isinstance(error, urllib3.exceptions.ReadTimeoutError) and self._is_up():
                cause = f"pod {pod} does not answer within {patience_s:g} s"
                raise NoAnswer(cause, "fix the model's server") from None
            raise self._unreachable(error) from None

    def _is_up(self) -> bool:
        """Tell whether the API server itself answers, whatever it is."""
        try:
            self._send("GET", "/version", patience_s=UP_S)
        except Unreachable:
            return False
        except StageFailure:
            return True
        return True

    def _unreachable(self, error: Exception) -> StageFailure:
        reason = getattr(error, "reason", None) or error
        # urllib3 puts the connection before what happened, OpenSSL its source line behind it.
        why = re.sub(
            r"^\S*Connection\w*\([^)]*\): |\s*\(_ssl\.c:\d+\)|^.*object at 0x\w+>: ", "", str(reason)
        )
        # A tunnel to a port that nobody listens on takes the connection and closes it.
        if isinstance(reason, urllib3.exceptions.SSLError) and "EOF" not in why:
            hint = "check the kubeconfig's server and certificate-authority-data"
            return StageFailure(f"TLS with the API server {self.address} failed: {why}", hint)
        hint = "check that the cluster runs; for one on your machine pass --kube-api=tcp://localhost:PORT"
        return Unreachable(f"the API server {self.address} is not reachable: {why}", hint)

    def _refused(self, code: int, data: bytes) -> StageFailure:
        message = one_line(text(_status(data), "message") or data, 500)
        if code == 401:
            hint = "pass one whose token or certificate is valid and has not expired"
            return Refused("the cluster does not know the kubeconfig's user (401)", hint, code)
        forbidden = re.search(r'cannot (\w+) resource "([\w./]+)"', message)
        if code == 403 and forbidden:
            verb, kind = forbidden.groups()
            cause = f"the kubeconfig's user may not {verb} {kind} in namespace {self.namespace}"
            return Refused(cause, "grant it the role in docs/clusters.md", code)
        if code == 403 and "being terminated" in message:
            cause = f"namespace {self.namespace} is being deleted"
            return Refused(cause, "wait until it is gone, or set another deploy.namespace", code)
        if code == 429 or code >= 500:
            cause, hint = f"the API server answers {code}: {message}", "try again when the cluster works"
            return Unreachable(cause, hint)
        if not _status(data):  # else a 404 of another server would mean "there is none yet"
            cause = f"{self.address} does not answer as a Kubernetes API server does ({code})"
            return StageFailure(f"{cause}: {message[:100]}", "check the address")
        cause = f"the cluster refuses ({code}): {message}"
        return Refused(cause, "change the fields that it names", code, _conflicts(_status(data)))


def _conflicts(status: Object) -> tuple[Conflict, ...]:
    """Return the fields for which a server-side apply was refused, and who set them."""
    return tuple(
        Conflict(text(cause, "field"), (re.findall(r'"([^"]*)"', text(cause, "message")) or ["another"])[0])
        for cause in objects(status, "details", "causes")
        if text(cause, "reason") == "FieldManagerConflict"
    )


def _status(data: bytes) -> Object:
    """Return the API server's account of an error; empty where another answered, such as a pod through it."""
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) and document.get("kind") == "Status" else {}
