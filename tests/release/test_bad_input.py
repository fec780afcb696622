"""A registry, a kubeconfig or a cluster that can't take a release: an error of one line, and an undo."""

import re
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import toy_images as toy
from tests.calls import Dagger, Project
from tests.clusters import Target
from tests.conftest import Lab

pytestmark = pytest.mark.engine

CHECK_REGISTRY = "check --registry, --registry-username and --registry-password"
NOTHING = f"nothing@sha256:{'0' * 64}"


class _Guarded(BaseHTTPRequestHandler):
    """A registry that wants a password."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="guarded"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def guarded() -> Iterator[str]:
    """A registry that refuses everyone."""
    server = ThreadingHTTPServer(("localhost", 0), _Guarded)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"localhost:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_registry_that_is_not_there(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "full-pipeline", "--registry=localhost:5999/models")
    line = (
        r"publish: localhost:5999/models/tumours:[0-9a-f]{12} was refused: failed to do request: \S+ \S+ "
        r"dial tcp \S+:5999: connect: connection refused; "
    )
    assert answer.code == 1
    assert re.fullmatch(line + CHECK_REGISTRY, "\n".join(answer.errors))
    assert "❌ tumours: do not ship" in answer.log


def test_a_registry_that_refuses(dagger: Dagger, tumours: Project, guarded: str) -> None:
    answer = dagger.call(tumours.path, "publish", f"--registry={guarded}/models")
    line = (
        rf"publish: {guarded}/models/tumours:[0-9a-f]{{12}} was refused: "
        r"unexpected status from HEAD request to \S+: 401 Unauthorized; "
    )
    assert answer.code == 1
    assert re.fullmatch(line + CHECK_REGISTRY, "\n".join(answer.errors))


def test_a_kubeconfig_that_is_none(dagger: Dagger, tumours: Project, lab: Lab) -> None:
    tumours.write("kubeconfig", "not one\n")
    kubeconfig = f"--kubeconfig=file://{tumours.path / 'kubeconfig'}"
    answer = dagger.call(tumours.path, "deploy", f"--image={lab.registry}/{NOTHING}", kubeconfig)
    message = (
        "deploy: the kubeconfig is not valid: it has no clusters and contexts; "
        "pass --kubeconfig=file://… with a current-context"
    )
    assert (answer.code, answer.errors) == (1, [message])


def test_an_image_without_a_digest(dagger: Dagger, tumours: Project, lab: Lab) -> None:
    answer = dagger.call(tumours.path, "deploy", "--image=tumours:latest", *lab.cluster)
    message = "deploy: tumours:latest has no digest; pass the reference that publish returned"
    assert (answer.code, answer.errors) == (1, [message])


def test_a_cluster_that_does_not_answer(dagger: Dagger, tumours: Project, lab: Lab) -> None:
    flags = (f"--image={lab.registry}/{NOTHING}", lab.cluster[0], "--kube-api=tcp://localhost:6999")
    answer = dagger.call(tumours.path, "deploy", *flags)
    line = (
        r"deploy: the API server https://kube-api:6999 is not reachable: .*EOF.*; "
        r"check that the cluster runs; for one on your machine pass --kube-api=tcp://localhost:PORT"
    )
    assert answer.code == 1
    assert re.fullmatch(line, "\n".join(answer.errors))


@pytest.fixture
def target(lab: Lab, tumours: Project, tmp_path: Path) -> Iterator[Target]:
    """A namespace of its own, to which the project `tumours` is released."""
    made = Target(tmp_path, lab.kubeconfig, f"bad-{uuid.uuid4().hex[:8]}", lab.kubeconfig)
    section = f'\n[deploy]\nnamespace = "{made.namespace}"\nreplicas = 1\ntimeout = 120\n'
    config = (tumours.path / "ml-pipeline.toml").read_text().replace('"tumours"\n', '"toy"\n')
    tumours.write("ml-pipeline.toml", config + section)
    yield made
    made.kubectl("delete", "namespace", made.namespace, "--ignore-not-found", "--wait=false")


def test_an_image_that_the_cluster_cannot_pull_leaves_nothing(
    dagger: Dagger, tumours: Project, lab: Lab, target: Target
) -> None:
    answer = dagger.call(tumours.path, "deploy", f"--image={lab.registry}/{NOTHING}", *lab.cluster)
    message = (
        f"deploy: the cluster can't pull {lab.registry}/{NOTHING}: not found; "
        "the release was undone, and nothing is serving, because nothing served before it; "
        "check that the nodes reach the registry and that it has this digest"
    )
    assert (answer.code, answer.errors) == (1, [message])
    assert target.get("deployments,services,pods")["items"] == []


def test_a_release_that_never_gets_ready_is_undone_and_the_old_one_serves_on(
    dagger: Dagger, tumours: Project, lab: Lab, target: Target
) -> None:
    good, bad = toy.push(lab.registry, "good", "1"), toy.push(lab.registry, "unready", "2")
    first = dagger.call(tumours.path, "deploy", f"--image={good}", *lab.cluster)
    assert first.record["action"] == "created"
    pods = target.pods()
    tumours.replace("ml-pipeline.toml", "timeout = 120", "timeout = 15")
    with toy.Callers(target.address(), callers=1) as callers:
        answer = dagger.call(tumours.path, "deploy", f"--image={bad}", *lab.cluster)
        callers.wait_for("1")
    line = (
        r"deploy: pod toy-\w+-\w+ runs, but /ready does not answer 200 after 15 s "
        r"\(its last line: toy server 2 up\); "
        rf"the release was undone, and the last good one \({good.partition('@')[2]}\) is serving; "
        r"fix the image's start, or raise deploy\.timeout"
    )
    assert answer.code == 1
    assert re.fullmatch(line, "\n".join(answer.errors))
    assert (callers.failures, set(callers.versions)) == ([], {"1"})
    assert target.pods() == pods
