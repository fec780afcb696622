"""A kubeconfig's current context: where a cluster is and who asks. Nothing of it is ever quoted."""

import base64
import binascii
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from ml_pipeline.stages.outcome import StageFailure

PASS_ONE = "pass --kubeconfig=file://… with a current context"  # noqa: S105 - no password
EMBED = "embed what it refers to: kubectl config view --raw --flatten --minify"


@dataclass(frozen=True, repr=False)
class Access:
    """How to reach one cluster; secret: never printed."""

    server: str
    server_name: str
    authority: str | None  # PEM; None: the system's own
    insecure: bool
    certificate: bytes | None  # PEM: the client's certificate, then its key
    headers: Mapping[str, str]


def read_kubeconfig(path: Path) -> Access:
    """Read the current context of a kubeconfig.

    Tokens, client certificates and passwords are understood; programs that log in (`exec`,
    `auth-provider`) are not: they are not here. Raises StageFailure without quoting the file.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise StageFailure(f"the kubeconfig {path} does not exist", PASS_ONE) from None
    except UnicodeDecodeError:
        raise _not_one("not a text file") from None
    except yaml.YAMLError as error:  # its text shows the line, which may hold a secret
        mark = getattr(error, "problem_mark", None)
        raise _not_one(f"not YAML{f' (line {mark.line + 1})' if mark else ''}") from None
    if not isinstance(document, dict) or not {"clusters", "contexts"} <= set(document):
        raise _not_one("no clusters and contexts in it")
    try:
        context = _named(document, "contexts", "context", document.get("current-context"))
        cluster = _named(document, "clusters", "cluster", context.get("cluster"))
        user = _named(document, "users", "user", context.get("user"))
        return _access(cluster, user, path.parent)
    except (AttributeError, TypeError, ValueError):
        raise _not_one("its parts are not of a kubeconfig's shape") from None


def _named(document: Mapping[str, Any], section: str, key: str, name: str | None) -> Mapping[str, Any]:
    if not name:
        raise _not_one("no current context" if section == "contexts" else f"its context names no {key}")
    for entry in document.get(section) or ():
        if entry.get("name") == name:
            found: Mapping[str, Any] = entry.get(key) or {}
            return found
    raise _not_one(f"{name!r} is not among its {section}")


def _access(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path) -> Access:
    server = str(cluster.get("server") or "")
    url = urlsplit(server)
    if url.scheme not in {"http", "https"} or not url.hostname or url.port == 0:
        raise _not_one("its cluster has no server's address")
    if "proxy-url" in cluster:
        raise StageFailure("the kubeconfig goes through a proxy (proxy-url)", "pass one that does not")
    for key in ("exec", "auth-provider"):
        if key in user:
            command = f" {user[key]['command']!r}" if key == "exec" and "command" in user[key] else ""
            raise StageFailure(
                f"the kubeconfig logs in through a program{command} ({key}), which is not here",
                "pass one with a token or a client certificate, such as a service account's",
            )
    headers = {}
    token = user.get("token") or _file(user, "tokenFile", folder).decode().strip()
    if token and not re.fullmatch(r"[\x21-\x7e]+", token):
        raise _not_one("its token holds what no header can")  # the client would quote it
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif "username" in user:
        password = f"{user['username']}:{user.get('password', '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(password.encode()).decode()}"
    authority = _data(cluster, "certificate-authority", folder)
    certificate = _data(user, "client-certificate", folder)
    key_pem = _data(user, "client-key", folder)
    return Access(
        server=server.rstrip("/"),
        server_name=cluster.get("tls-server-name") or url.hostname,
        authority=authority.decode() or None,
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        certificate=certificate + b"\n" + key_pem if certificate else None,
        headers=headers,
    )


def _data(section: Mapping[str, Any], key: str, folder: Path) -> bytes:
    encoded = section.get(f"{key}-data")
    if not encoded:
        return _file(section, key, folder)
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except binascii.Error:
        raise _not_one(f"its {key}-data is not base64") from None


def _file(section: Mapping[str, Any], key: str, folder: Path) -> bytes:
    if not section.get(key):
        return b""
    try:
        return (folder / str(section[key])).read_bytes()
    except OSError:
        raise StageFailure(
            f"the kubeconfig's {key} is the file {section[key]}, which is not here", EMBED
        ) from None


def _not_one(why: str) -> StageFailure:
    return StageFailure(f"the kubeconfig is not one: {why}", PASS_ONE)


def tls(access: Access) -> ssl.SSLContext:
    """What verifies the cluster, and what the client shows of itself."""
    try:
        context = ssl.create_default_context(cadata=access.authority)
        # As kubectl: the chain and the name are checked, but a CA may lack an extension. Python
        # 3.13 would refuse the certificates that clusters make for themselves.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if access.insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if access.certificate:
            # OpenSSL wants a file; this one is in memory only.
            file = os.memfd_create("client")
            os.write(file, access.certificate)
            context.load_cert_chain(f"/proc/self/fd/{file}")
            os.close(file)
    except (ssl.SSLError, ValueError):
        raise _not_one("a certificate or key in it is not PEM") from None
    return context
