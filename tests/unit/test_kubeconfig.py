"""Kubeconfigs: what is read, and that none of it is quoted."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_pipeline.stages.kubeconfig import read_kubeconfig
from ml_pipeline.stages.outcome import StageFailure

SECRET = "c2VjcmV0LXRva2Vu"  # noqa: S105 - of no cluster


def _config(user: Any = None, **cluster: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "it", "user": "me"}}],
        "clusters": [{"name": "it", "cluster": {"server": "https://10.0.0.1:6443"} | cluster}],
        "users": [{"name": "me", "user": {"token": SECRET} if user is None else user}],
    }


def _write(folder: Path, content: Any) -> Path:
    path = folder / "kubeconfig"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def _failure(folder: Path, content: Any) -> StageFailure:
    with pytest.raises(StageFailure) as caught:
        read_kubeconfig(_write(folder, content))
    assert SECRET not in f"{caught.value.cause} {caught.value.hint}"
    return caught.value


def test_a_token(tmp_path: Path) -> None:
    access = read_kubeconfig(_write(tmp_path, _config()))
    assert access.headers == {"Authorization": f"Bearer {SECRET}"}
    assert (access.server, access.server_name) == ("https://10.0.0.1:6443", "10.0.0.1")
    assert SECRET not in repr(access)


def test_certificates_embedded_and_as_files(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("CA")
    data = {f"client-{k}-data": base64.b64encode(k.encode()).decode() for k in ("certificate", "key")}
    access = read_kubeconfig(_write(tmp_path, _config(data, **{"certificate-authority": "ca.pem"})))
    assert (access.authority, access.certificate) == ("CA", b"certificate\nkey")
    assert not access.insecure


def test_tls_names_and_switches(tmp_path: Path) -> None:
    cluster = {"tls-server-name": "api.internal", "insecure-skip-tls-verify": True}
    access = read_kubeconfig(_write(tmp_path, _config(**cluster)))
    assert (access.server_name, access.insecure) == ("api.internal", True)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no clusters and contexts"),
        ("just text", "no clusters and contexts"),
        (f"token: {SECRET}\n  bad: [", "not YAML (line 2)"),
        (_config() | {"current-context": ""}, "no current context"),
        (_config() | {"current-context": "gone"}, "'gone' is not among its contexts"),
        (_config() | {"users": []}, "'me' is not among its users"),
        (_config() | {"contexts": ["here"]}, "shape"),
        (_config(server="10.0.0.1"), "no server's address"),
        (_config(server="https://host:port"), "shape"),
        (_config(**{"certificate-authority-data": f"{SECRET}!"}), "not base64"),
        (_config({"token": f"{SECRET}\nX: y"}), "no header can"),
    ],
)
def test_what_is_no_kubeconfig(tmp_path: Path, content: Any, why: str) -> None:
    failure = _failure(tmp_path, content)
    assert failure.cause.startswith("the kubeconfig is not one: ")
    assert why in failure.cause
    assert failure.hint == "pass --kubeconfig=file://… with a current context"


def test_a_binary_file_and_none_at_all(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StageFailure, match="not a text file"):
        read_kubeconfig(tmp_path / "binary")
    with pytest.raises(StageFailure, match="does not exist"):
        read_kubeconfig(tmp_path / "absent")


@pytest.mark.parametrize("key", ["exec", "auth-provider"])
def test_programs_that_log_in_are_not_here(tmp_path: Path, key: str) -> None:
    failure = _failure(tmp_path, _config({key: {"command": "aws", "args": [SECRET]}}))
    assert f"({key}), which is not here" in failure.cause
    assert "service account" in failure.hint


def test_files_that_did_not_come_along(tmp_path: Path) -> None:
    failure = _failure(tmp_path, _config({"client-certificate": "/home/me/cert.pem"}))
    assert "/home/me/cert.pem, which is not here" in failure.cause
    assert "--flatten" in failure.hint
