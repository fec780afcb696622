"""Who may deploy where: kubeconfigs, TLS, permissions, and settings that are wrong."""

import base64
import http.server
import ssl
import subprocess
import threading
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.clusters import Lab, Target, least_privileged

pytestmark = pytest.mark.cluster


def test_an_api_server_by_another_name_is_checked_for_its_own(target: Target) -> None:
    config = yaml.safe_load(target.admin.read_text())
    address = config["clusters"][0]["cluster"]["server"]
    config["clusters"][0]["cluster"]["server"] = "https://kubernetes.default.svc:443"  # no DNS knows it here
    path = target.folder / "inside"
    path.write_text(yaml.safe_dump(config))
    flags = ("--kubeconfig", str(path), "--api-server", address)
    assert target.call("status", *flags).record["state"] == "absent"
    config["clusters"][0]["cluster"]["server"] = "https://another.example"
    path.write_text(yaml.safe_dump(config))
    assert "TLS with the API server" in target.call("status", *flags).line


def test_a_cluster_that_does_not_answer_or_does_not_trust(target: Target, images: Mapping[str, str]) -> None:
    nobody = target.call("status", "--api-server", "https://127.0.0.1:9").line
    assert "is not reachable: " in nobody
    assert "refused" in nobody
    config = yaml.safe_load(target.admin.read_text())
    config["users"][0]["user"] = {"token": "bm90LWEtdG9rZW4"}
    path = target.folder / "stranger"
    path.write_text(yaml.safe_dump(config))
    stranger = target.call("status", "--kubeconfig", str(path)).line
    assert "does not know the kubeconfig's user (401)" in stranger
    assert "bm90LWEtdG9rZW4" not in stranger


def test_credentials_in_files_beside_the_kubeconfig(target: Target) -> None:
    config = yaml.safe_load(target.admin.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    for section, key in (
        (cluster, "certificate-authority"),
        (user, "client-certificate"),
        (user, "client-key"),
    ):
        (target.folder / key).write_bytes(base64.b64decode(section.pop(f"{key}-data")))
        section[key] = key
    path = target.folder / "beside"
    path.write_text(yaml.safe_dump(config))
    assert target.call("status", "--kubeconfig", str(path)).record["state"] == "absent"
    token = target.kubectl("create", "token", "default", "--namespace", "default")
    (target.folder / "token").write_text(token)  # with the newline that such files end in
    config["users"][0]["user"] = {"tokenFile": "token"}
    path.write_text(yaml.safe_dump(config))
    assert "may not get deployments" in target.call("status", "--kubeconfig", str(path)).line


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"tls-server-name": "kubernetes.default.svc"}, None),
        ({"tls-server-name": "another.example"}, "TLS with the API server"),
        ({"certificate-authority-data": ""}, "TLS with the API server"),  # the system's own knows no lab
        ({"certificate-authority-data": "", "insecure-skip-tls-verify": True}, None),
        (
            {"certificate-authority-data": "bm8gUEVN"},
            "the kubeconfig is not valid: a certificate or key in it",
        ),
    ],
)
def test_what_tls_trusts(target: Target, changes: dict[str, Any], cause: str | None) -> None:
    config = yaml.safe_load(target.admin.read_text())
    config["clusters"][0]["cluster"] |= changes
    path = target.folder / "changed"
    path.write_text(yaml.safe_dump(config))
    result = target.call("status", "--kubeconfig", str(path))
    if cause:
        assert cause in result.line
    else:
        assert result.record["state"] == "absent"


def test_an_authority_without_key_usage_is_trusted(target: Target) -> None:
    """As kubectl does; Python 3.13 by itself would not, and some clusters make such authorities."""
    settings, folder = target.folder / "openssl.cnf", target.folder
    settings.write_text("[req]\ndistinguished_name=name\n[name]\n[ca]\nbasicConstraints=critical,CA:TRUE\n")
    make = [
        "openssl",
        "req",
        "-x509",
        "-config",
        str(settings),
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
    ]
    for words in (
        "-extensions ca -subj /CN=authority -keyout ca.key -out ca.pem",
        "-CA ca.pem -CAkey ca.key -subj /CN=server -addext subjectAltName=IP:127.0.0.1 -keyout key -out pem",
    ):
        subprocess.run([*make, *words.split()], cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pem", folder / "key")
    config = yaml.safe_load(target.admin.read_text())
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever).start()
        address = f"https://127.0.0.1:{server.server_port}"
        config["clusters"][0]["cluster"] = {"server": address, "certificate-authority": "ca.pem"}
        (folder / "lenient").write_text(yaml.safe_dump(config))
        result = target.call("status", "--kubeconfig", str(folder / "lenient"))
        server.shutdown()
    assert "the API server answers 501" in result.line  # that is, TLS was well


def test_what_is_not_allowed_is_named(target: Target, images: Mapping[str, str]) -> None:
    releaser = least_privileged(target)
    other = Target(target.folder, releaser, "default", target.admin)
    line = other.call("release", image=images["good-1"]).line
    assert "may not get deployments in namespace default; grant it the role" in line


def test_what_may_be_begun_but_not_done_leaves_nothing(target: Target, images: Mapping[str, str]) -> None:
    releaser = Target(
        target.folder, least_privileged(target, without="create"), target.namespace, target.admin
    )
    line = releaser.call("release", image=images["good-1"]).line
    assert f"may not create leases in namespace {target.namespace}; grant it the role" in line
    lease = '{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"toy-release"}}'
    target.kubectl("create", "-f", "-", stdin=lease)  # what it may only change
    line = releaser.call("release", image=images["good-1"]).line
    assert f"may not create deployments in namespace {target.namespace}; grant it the role" in line
    assert target.get("deployments,services")["items"] == []


def test_what_is_no_cluster(target: Target, lab: Lab) -> None:
    unencrypted = target.call("status", "--api-server", f"http://{lab.registry}").line
    assert "would send the kubeconfig's secrets without encryption" in unencrypted
    config = yaml.safe_load(target.admin.read_text())
    config["clusters"][0]["cluster"]["server"] = f"http://{lab.registry}"
    path = target.folder / "registry"
    path.write_text(yaml.safe_dump(config))
    line = target.call("status", "--kubeconfig", str(path)).line
    assert "does not answer as a Kubernetes API server does (404)" in line


@pytest.mark.parametrize("text", ["{", "no: kubeconfig", "apiVersion: v1\nclusters: []\ncontexts: []\n"])
def test_a_bad_kubeconfig(target: Target, text: str) -> None:
    path = target.folder / "bad"
    path.write_text(text)
    line = target.call("release", "--kubeconfig", str(path)).line
    assert line.startswith("deploy: the kubeconfig is not valid: ")
    assert line.endswith("; pass --kubeconfig=file://… with a current-context")


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"strategy": "canary"}, 'the settings are wrong: strategy is "canary"'),
        ({"image": "localhost:5000/toy:latest"}, "has no digest"),
        ({"replicas": 0}, "the settings are wrong: replicas = 0 is out of range; use 1 or more"),
    ],
)
def test_settings_that_are_wrong(target: Target, settings: dict[str, Any], cause: str) -> None:
    assert cause in target.call("release", **settings).line


def test_no_secret_is_left_or_shown(target: Target, images: Mapping[str, str]) -> None:
    user = yaml.safe_load(target.admin.read_text())["users"][0]["user"]
    key = base64.b64decode(user["client-key-data"]).decode().splitlines()[1]
    process = target.start("release", image=images["absent"])
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert key not in stdout + stderr
    assert user["client-key-data"][:60] not in stdout + stderr
