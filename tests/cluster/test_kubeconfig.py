"""Kubeconfigs: what is read, and that none of it is quoted."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_pipeline.cluster.kubeconfig import read_kubeconfig
from ml_pipeline.common.outcome import StageFailure

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


def _user(document: dict[str, Any]) -> Any:
    return document["users"][0]["user"]


def _cluster(document: dict[str, Any]) -> Any:
    return document["clusters"][0]["cluster"]


def test_what_the_client_can_use_stays_as_it_is(tmp_path: Path) -> None:
    for config in (_config(), _config({"client-certificate-data": "eA==", "client-key-data": "eA=="})):
        assert read_kubeconfig(_write(tmp_path, config)) == config


def test_files_beside_it_are_found_from_anywhere(tmp_path: Path) -> None:
    for name in ("ca.pem", "token"):
        (tmp_path / name).write_text(f"{SECRET}\n")
    config = _config({"tokenFile": "token"}, **{"certificate-authority": "ca.pem"})
    document = read_kubeconfig(_write(tmp_path, config))
    assert _cluster(document)["certificate-authority"] == str(tmp_path / "ca.pem")
    assert _user(document)["token"] == SECRET


@pytest.mark.parametrize(
    ("cluster", "address", "server", "name"),
    [
        ({}, "https://kube-api:6443/", "https://kube-api:6443", "10.0.0.1"),
        ({"tls-server-name": "inside"}, "https://kube-api:6443", "https://kube-api:6443", "inside"),
        ({"server": "https://host/path/"}, "https://kube-api:1", "https://kube-api:1/path", "host"),
    ],
)
def test_another_address_is_checked_for_the_cluster_s_own_name(
    tmp_path: Path, cluster: dict[str, Any], address: str, server: str, name: str
) -> None:
    section = _cluster(read_kubeconfig(_write(tmp_path, _config(**cluster)), address))
    assert (section["server"], section["tls-server-name"]) == (server, name)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("kube-api:6443", "is not an address"),
        ("https://kube-api:port", "is not an address"),
        ("http://x", "without encryption"),
    ],
)
def test_addresses_that_are_refused(tmp_path: Path, address: str, why: str) -> None:
    with pytest.raises(StageFailure, match=why):
        read_kubeconfig(_write(tmp_path, _config()), address)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it has no clusters and contexts"),
        ("just text", "it has no clusters and contexts"),
        (f"token: {SECRET}\n  bad: [", "not YAML (line 2)"),
        (_config() | {"current-context": ""}, "it has no current-context"),
        (_config() | {"current-context": "gone"}, "'gone' is not among its contexts"),
        (_config() | {"users": []}, "'me' is not among its users"),
        (_config() | {"contexts": ["here"]}, "its contexts are not a list of names"),
        (_config(server="10.0.0.1"), "its cluster has no server address"),
        (_config(server="https://host:port"), "its cluster has no server address"),
        (_config() | {"users": [{"name": "me"}]}, "'me' in its users has no user"),
        (_config(server=f"https://me:{SECRET}@host"), "its server address has a password"),
        (_config({"token": f"{SECRET}\nX: y"}), "characters that an HTTP header can't have"),
    ],
)
def test_a_kubeconfig_that_is_not_valid(tmp_path: Path, content: Any, why: str) -> None:
    failure = _failure(tmp_path, content)
    assert failure.cause.startswith("the kubeconfig is not valid: ")
    assert why in failure.cause
    assert failure.hint == "pass --kubeconfig=file://… with a current-context"


def test_a_binary_file_and_none_at_all(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StageFailure, match="not a text file"):
        read_kubeconfig(tmp_path / "binary")
    with pytest.raises(StageFailure, match="does not exist"):
        read_kubeconfig(tmp_path / "absent")


@pytest.mark.parametrize("key", ["exec", "auth-provider"])
def test_programs_that_log_in_are_not_here(tmp_path: Path, key: str) -> None:
    failure = _failure(tmp_path, _config({key: {"command": "aws", "args": [SECRET]}}))
    assert f"({key}), which the container does not have" in failure.cause
    assert "service account" in failure.hint


@pytest.mark.parametrize("key", ["as", "as-uid", "as-groups", "as-user-extra"])
def test_acting_as_another_user_is_refused(tmp_path: Path, key: str) -> None:
    """It was ignored, so a release acted with more rights than it was given."""
    failure = _failure(tmp_path, _config({"token": SECRET, key: "viewer"}))
    assert failure.cause == f"the kubeconfig acts as another user ({key}), which is not supported"


def test_files_that_did_not_come_along(tmp_path: Path) -> None:
    failure = _failure(tmp_path, _config({"client-certificate": "/home/me/cert.pem"}))
    assert "/home/me/cert.pem, which the container does not have" in failure.cause
    assert "--flatten" in failure.hint
