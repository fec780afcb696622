"""Checks a kubeconfig's current context before the official client loads it; quotes none of it.

That client runs programs, ignores a proxy and a user that is not there, and puts what it read into
its messages.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from ml_pipeline.common.outcome import StageFailure

PASS_ONE = "pass --kubeconfig=file://… with a current context"  # noqa: S105 - no password
EMBED = "embed what it refers to: kubectl config view --raw --flatten --minify"


def read_kubeconfig(path: Path, api_server: str | None = None) -> dict[str, Any]:
    """Read a kubeconfig that needs nothing but itself; secret: never print it.

    `api_server` is where to connect instead; TLS still checks for the host that the kubeconfig names.
    Tokens, client certificates and passwords are understood; programs that log in (`exec`,
    `auth-provider`) are not: they are not here. Raises StageFailure without quoting the file.
    """
    document = _document(path)
    if not document.get("current-context"):
        raise not_one("no current context")
    try:
        context = _named(document, "contexts", "context", document["current-context"])
        cluster = _named(document, "clusters", "cluster", context.get("cluster"))
        user = _named(document, "users", "user", context.get("user"))
        _refuse_helpers(cluster, user)
        for section in (cluster, user):
            _find_files(section, path.parent)
        if user.get("tokenFile") and not user.get("token"):
            user["token"] = Path(user["tokenFile"]).read_text().strip()
        if user.get("token") and not re.fullmatch(r"[\x21-\x7e]+", user["token"]):
            raise not_one("its token holds what no header can")  # the client would quote it
        _connect_to(cluster, api_server)
    except (AttributeError, KeyError, TypeError, ValueError, OSError):
        raise not_one("its parts are not of a kubeconfig's shape") from None
    return document


def not_one(why: str) -> StageFailure:
    return StageFailure(f"the kubeconfig is not one: {why}", PASS_ONE)


def _document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise StageFailure(f"the kubeconfig {path} does not exist", PASS_ONE) from None
    except UnicodeDecodeError:
        raise not_one("not a text file") from None
    except yaml.YAMLError as error:  # its text shows the line, which may hold a secret
        mark = getattr(error, "problem_mark", None)
        raise not_one(f"not YAML{f' (line {mark.line + 1})' if mark else ''}") from None
    if not isinstance(document, dict) or not {"clusters", "contexts"} <= set(document):
        raise not_one("no clusters and contexts in it")
    return document


def _named(document: dict[str, Any], section: str, key: str, name: str | None) -> dict[str, Any]:
    if not name:
        raise not_one(f"its context names no {key}")
    for entry in document.get(section) or ():
        if entry["name"] == name:
            found: dict[str, Any] = entry[key]
            return found
    raise not_one(f"{name!r} is not among its {section}")


def _refuse_helpers(cluster: dict[str, Any], user: dict[str, Any]) -> None:
    if "proxy-url" in cluster:
        raise StageFailure("the kubeconfig goes through a proxy (proxy-url)", "pass one that does not")
    for key in ("exec", "auth-provider"):
        if key in user:
            command = f" {user[key]['command']!r}" if key == "exec" and "command" in user[key] else ""
            raise StageFailure(
                f"the kubeconfig logs in through a program{command} ({key}), which is not here",
                "pass one with a token or a client certificate, such as a service account's",
            )


def _find_files(section: dict[str, Any], folder: Path) -> None:
    """Make the paths absolute: the client takes them as relative to its own folder."""
    for key in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
        if section.get(key) and not section.get(f"{key}-data"):
            if not (folder / section[key]).is_file():
                cause = f"the kubeconfig's {key} is the file {section[key]}, which is not here"
                raise StageFailure(cause, EMBED)
            section[key] = str((folder / section[key]).absolute())


def _connect_to(cluster: dict[str, Any], api_server: str | None) -> None:
    server = str(cluster.get("server")).rstrip("/")
    if not _is_address(server):
        raise not_one("its cluster has no server's address")
    if api_server:
        if not _is_address(api_server):
            raise StageFailure(f"--api-server {api_server!r} is no address", "write https://HOST:PORT")
        named, used = urlsplit(server), urlsplit(api_server.rstrip("/"))
        if (named.scheme, used.scheme) == ("https", "http"):
            cause = "--api-server would send the kubeconfig's secrets in the clear"
            raise StageFailure(cause, "use https://")
        cluster["tls-server-name"] = cluster.get("tls-server-name") or named.hostname
        server = used._replace(path=used.path or named.path).geturl()
    cluster["server"] = server


def _is_address(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
