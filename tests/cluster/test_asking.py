"""Questions to a pod through the API server: a pod that hangs, and an API server that does."""

import concurrent.futures
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ml_pipeline.cluster import client
from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.errors import NoAnswer, Unreachable

pytestmark = pytest.mark.program  # the client's package


class StandIn:
    """An API server that holds requests for what `hangs` names until the test is over."""

    def __init__(self) -> None:
        self.hangs = {"/pods/hung:"}
        self.paths: list[str] = []
        self.over = over = threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.paths.append(self.path)
                if any(each in self.path for each in api.hangs):
                    over.wait(20)
                    return
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever).start()

    def cluster(self) -> Cluster:
        server = f"http://127.0.0.1:{self.server.server_port}"
        kubeconfig: dict[str, object] = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
            "clusters": [{"name": "lab", "cluster": {"server": server}}],
            "users": [{"name": "admin", "user": {"token": "none"}}],
        }
        return Cluster(kubeconfig, "models")


@pytest.fixture
def api() -> Iterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    stand_in.over.set()
    stand_in.server.shutdown()
    stand_in.server.server_close()


def test_a_pod_that_hangs_costs_its_patience_only_and_is_asked_once(api: StandIn) -> None:
    with pytest.raises(NoAnswer, match=r"pod hung does not answer within 0\.2 s"):
        api.cluster().ask("hung", 8000, "/metrics", patience_s=0.2)
    assert [path.rpartition("/")[2] for path in api.paths] == ["metrics", "version"]


def test_an_api_server_that_hangs_is_not_a_pod_that_does(
    api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "UP_S", 0.2)
    api.hangs = {"/"}
    with pytest.raises(Unreachable, match=r"the API server .* is not reachable: Read timed out") as failure:
        api.cluster().ask("a", 8000, "/metrics", patience_s=0.2)
    assert not isinstance(failure.value, NoAnswer)


def test_several_threads_ask_at_once(api: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    cluster = api.cluster()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [
            pool.submit(cluster.ask, f"pod-{number}", 8000, "/metrics", patience_s=10) for number in range(24)
        ]
    assert [each.result() for each in answers] == [(200, b"{}")] * 24
    assert caplog.records == []  # such as "connection pool is full", which would be on stderr
