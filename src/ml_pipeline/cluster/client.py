"""One namespace of a cluster, through the official client: plain dicts and one-line failures out."""

import json
import re
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3
from kubernetes.client import ApiClient, ApiException, Configuration
from kubernetes.config import ConfigException, load_kube_config_from_dict

from ml_pipeline.cluster.kubeconfig import not_one
from ml_pipeline.common.lines import last_line, one_line
from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.common.retries import AGAIN
from ml_pipeline.release.manifests import MANAGER

APIS = {
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "jobs": "/apis/batch/v1",
}  # the others are in the core API
TIMEOUT_S = (5, 30)  # to connect, to read
RETRIES = AGAIN.new(allowed_methods={"GET", "PATCH", "DELETE"})  # each of ours may be done twice
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

    def owned(self, kind: str, name: str) -> dict[str, Any] | None:
        """As `get`, but an object that another made is a StageFailure."""
        found = self.get(kind, name)
        labels = found["metadata"].get("labels", {}) if found else {}
        if found and labels.get("app.kubernetes.io/managed-by") != MANAGER:
            where = f"{found.get('kind', '')} {name} in namespace {self.namespace}"
            raise StageFailure(f"the {where} is not of {MANAGER}", "use another name or delete it")
        return found

    def list(self, kind: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """The objects that have all `labels`."""
        wanted = {"labelSelector": ",".join(f"{k}={v}" for k, v in labels.items())}
        answer = self._json("GET", self._path(kind), query=wanted)
        found: list[dict[str, Any]] = answer["items"]
        return found

    def apply(self, kind: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create or update by server-side apply; what others set in these fields is overruled."""
        path = self._path(kind, manifest["metadata"]["name"])
        query = {"fieldManager": MANAGER, "force": "true"}
        return self._json("PATCH", path, manifest, kind="application/apply-patch+yaml", query=query)

    def annotate(self, kind: str, name: str, annotations: Mapping[str, str]) -> dict[str, Any]:
        """Set annotations that `apply` leaves alone, for they have another field manager."""
        body, query = {"metadata": {"annotations": annotations}}, {"fieldManager": f"{MANAGER}-history"}
        path = self._path(kind, name)
        return self._json("PATCH", path, body, kind="application/merge-patch+json", query=query)

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
                path = f"{self._path('pods', pod)}/log"
                _, data = self._send("GET", path, query={"tailLines": "5", "previous": previous})
            except (Refused, Unreachable):
                continue
            return last_line(data)
        return ""

    def log(self, pod: str, since: str) -> str:
        """What a pod's container wrote, each line behind its time; from the second `since` on."""
        query = {"timestamps": "true"} | ({"sinceTime": since} if since else {})
        try:
            _, data = self._send("GET", f"{self._path('pods', pod)}/log", query=query)
        except Refused as refused:
            if refused.code == 403:
                raise
            return ""  # it has not started, or is gone
        return data.decode(errors="replace")

    def ask(self, pod: str, port: int, path: str, body: Any = None) -> tuple[int, bytes]:
        """Ask a pod itself, through the API server: the status and the body of its answer."""
        path = f"{self._path('pods', f'{pod}:{port}')}/proxy{path}"
        return self._send("GET" if body is None else "POST", path, body, through=True)

    def _path(self, kind: str, name: str = "") -> str:
        path = f"{APIS.get(kind, '/api/v1')}/namespaces/{quote(self.namespace, safe='')}/{kind}"
        return f"{path}/{quote(name, safe=':')}" if name else path

    def _json(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(self._send(method, path, body, **options)[1])
        except ValueError:
            raise StageFailure(f"{self.address} answers no JSON", "check the address") from None
        return answer

    def _send(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
        *,
        through: bool = False,
    ) -> tuple[int, bytes]:
        try:
            response = self._client.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": kind},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,  # the client's models would drop what they do not know
                _return_http_data_only=True,
                _request_timeout=TIMEOUT_S,
            )
            return response.status, response.data
        except ApiException as error:
            data = error.body or b""
            if through and not _status(data):
                return error.status, data
            raise self._refused(error.status, data) from None
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None

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
        message = one_line(_status(data).get("message") or data, 500)
        if code == 401:
            hint = "take one whose token or certificate is valid and has not expired"
            return Refused("the cluster does not know the kubeconfig's user (401)", hint, code)
        found = re.search(r'cannot (\w+) resource "([\w./]+)"', message)
        if code == 403 and found:
            cause = f"the kubeconfig's user may not {found[1]} {found[2]} in namespace {self.namespace}"
            return Refused(cause, "grant it the role in docs/clusters.md", code)
        if code == 429 or code >= 500:
            cause, hint = f"the API server answers {code}: {message}", "try again when the cluster is well"
            return Unreachable(cause, hint)
        if not _status(data):  # so that no stranger's 404 passes for "there is none yet"
            cause = f"{self.address} does not answer as a Kubernetes API server does ({code})"
            return StageFailure(f"{cause}: {message[:100]}", "check the address")
        return Refused(f"the cluster refuses ({code}): {message}", "change what it names", code)


def _client(kubeconfig: dict[str, Any]) -> ApiClient:
    configuration = Configuration()
    configuration.proxy = None  # it takes the environment's, and overlooks NO_PROXY
    folder = MEMORY if Path(MEMORY).is_dir() else None
    try:
        # OpenSSL and the client want files.
        with tempfile.TemporaryDirectory(dir=folder) as secrets:
            load_kube_config_from_dict(
                kubeconfig,
                client_configuration=configuration,
                persist_config=False,
                temp_file_path=secrets,
            )
            tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
            if configuration.cert_file:
                tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    except (OSError, ValueError):
        raise not_one("a certificate or key in it is not PEM") from None
    except (ConfigException, AttributeError, TypeError):
        raise not_one("its parts are not of a kubeconfig's shape") from None
    # As kubectl: the chain and the name are checked, but a CA may lack an extension. Python
    # 3.13 would refuse the certificates that clusters make for themselves.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        print("deploy: the kubeconfig switches TLS verification off")
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    client = ApiClient(configuration)
    client.rest_client.pool_manager = urllib3.PoolManager(
        ssl_context=tls, server_hostname=configuration.tls_server_name, retries=RETRIES
    )
    return client


def _status(data: bytes) -> dict[str, Any]:
    """The API server's own account of an error; empty where another answered, such as a pod through it."""
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) and document.get("kind") == "Status" else {}
