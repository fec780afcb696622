"""Checks a kubeconfig's current context before the official client loads it; quotes none of it.

That client runs programs, ignores a proxy and a user that does not exist, and puts what it read into its
messages.
"""

import re
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import yaml

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.common.redaction import hide

PASS_ONE = "pass --kubeconfig=file://… with a current-context"  # noqa: S105 - no password
EMBED = "embed the files it refers to: kubectl config view --raw --flatten --minify"

Section: TypeAlias = dict[str, object]


def read_kubeconfig(path: Path, api_server: str | None = None) -> Section:
    """Read a kubeconfig that needs nothing but itself; secret: never print it.

    `api_server` is where to connect instead; TLS still checks for the host that the kubeconfig names.
    Tokens, client certificates and passwords are understood. Programs that log in (`exec`, `auth-provider`)
    are not: the container does not have them. Raises StageFailure without quoting the file.
    """
    document = _document(path)
    if not document.get("current-context"):
        raise invalid("it has no current-context")
    context = _named(document, "contexts", "context", document["current-context"])
    cluster = _named(document, "clusters", "cluster", context.get("cluster"))
    user = _named(document, "users", "user", context.get("user"))
    hide(*(user.get(key) for key in ("token", "password", "client-key-data")))
    _refuse_helpers(cluster, user)
    try:
        for section in (cluster, user):
            _find_files(section, path.parent)
        if user.get("tokenFile") and not user.get("token"):
            user["token"] = Path(str(user["tokenFile"])).read_text().strip()
    except (OSError, ValueError):
        raise invalid("a file that it names can't be read") from None
    hide(user.get("token"))
    if user.get("token") and not re.fullmatch(r"[\x21-\x7e]+", str(user["token"])):
        raise invalid("its token has characters that an HTTP header can't have")  # the client would quote it
    _connect_to(cluster, api_server)
    return document


def user_of(document: Section) -> str:
    """Return the name of the user of the current context."""
    return str(_named(document, "contexts", "context", document["current-context"]).get("user"))


def invalid(why: str) -> StageFailure:
    """Return the failure of a kubeconfig that can't be used."""
    return StageFailure(f"the kubeconfig is not valid: {why}", PASS_ONE)


def _document(path: Path) -> Section:
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise StageFailure(f"the kubeconfig {path} does not exist", PASS_ONE) from None
    except OSError:
        raise invalid("it can't be read") from None
    except UnicodeDecodeError:
        raise invalid("it is not a text file") from None
    except yaml.YAMLError as error:  # its text shows the line, which may hold a secret
        mark = getattr(error, "problem_mark", None)
        raise invalid(f"it is not YAML{f' (line {mark.line + 1})' if mark else ''}") from None
    if not isinstance(document, dict) or not {"clusters", "contexts"} <= set(document):
        raise invalid("it has no clusters and contexts")
    return document


def _named(document: Section, section: str, key: str, name: object) -> Section:
    """Return the part of a section that has a name. Raises StageFailure."""
    if not name:
        raise invalid(f"its context names no {key}")
    entries = document.get(section) or []
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, dict) or "name" not in entry:
            raise invalid(f"its {section} are not a list of names")
        if entry["name"] == name:
            part = entry.get(key)
            if not isinstance(part, dict):
                raise invalid(f"{name!r} in its {section} has no {key}")
            return part
    raise invalid(f"{name!r} is not among its {section}")


def _refuse_helpers(cluster: Section, user: Section) -> None:
    if "proxy-url" in cluster:
        cause = "the kubeconfig connects through a proxy (proxy-url), which is not supported"
        raise StageFailure(cause, "pass one that does not")
    if impersonated := next((key for key in user if key == "as" or key.startswith("as-")), None):
        cause = f"the kubeconfig acts as another user ({impersonated}), which is not supported"
        raise StageFailure(cause, "pass one of that user, such as a service account's")
    for key in ("exec", "auth-provider"):
        if key in user:
            helper = user[key]
            command = helper.get("command") if key == "exec" and isinstance(helper, dict) else None
            program = f"the program {command!r}" if command else "a program"
            raise StageFailure(
                f"the kubeconfig logs in with {program} ({key}), which the container does not have",
                "pass one with a token or a client certificate, such as a service account's",
            )


def _find_files(section: Section, folder: Path) -> None:
    """Make the paths absolute: the client takes them as relative to its own folder."""
    for key in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
        name = section.get(key)
        if name and not section.get(f"{key}-data"):
            file = folder / str(name)
            if not file.is_file():
                cause = f"the kubeconfig's {key} is the file {name}, which the container does not have"
                raise StageFailure(cause, EMBED)
            section[key] = str(file.absolute())


def _connect_to(cluster: Section, api_server: str | None) -> None:
    server = str(cluster.get("server")).rstrip("/")
    if "@" in server:
        hide(server, *server.rpartition("@")[0].rpartition("/")[2].split(":"))
        raise invalid("its server address has a password, which belongs to its user")
    if not _is_address(server):
        raise invalid("its cluster has no server address")
    if api_server:
        if not _is_address(api_server):
            raise StageFailure(f"--api-server {api_server!r} is not an address", "write https://HOST:PORT")
        named, used = urlsplit(server), urlsplit(api_server.rstrip("/"))
        if (named.scheme, used.scheme) == ("https", "http"):
            cause = "--api-server would send the kubeconfig's secrets without encryption"
            raise StageFailure(cause, "use https://")
        cluster["tls-server-name"] = cluster.get("tls-server-name") or named.hostname
        server = used._replace(path=used.path or named.path).geturl()
    cluster["server"] = server


def _is_address(address: str) -> bool:
    try:
        url = urlsplit(address)
        return url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
