"""Toy models for cluster tests: a server of thirty lines as an image, and callers of its Service.

An image is the registry's Python under another configuration: no layer is built or moved.
"""

import gzip
import hashlib
import json
import threading
import time
from collections.abc import Mapping
from typing import Any, Self

import urllib3

BASE = ("library/python", "3.13-slim")
MEDIA = "application/vnd.oci.image"

SERVER = """
import collections, http.server, json, os, signal, sys, threading, time
counts, started = collections.Counter(), []
mode, version = os.environ["MODE"], os.environ["VERSION"]
if mode == "crash":
    sys.exit("the model's weights are broken")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/model":
            self.answer(200, {"name": "toy", "version": version, "example": {"age": 37}})
        elif self.path == "/metrics":
            line = 'ml_requests_total{path="/predict",code="%d"} %d\\n'
            self.write(200, "".join(line % each for each in counts.items()).encode())
        else:
            unready = mode == "unready" and self.path == "/ready"
            self.answer(503 if unready else 200, {"status": "loading" if unready else "ok"})
    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        started.append(time.monotonic())
        if mode == "flaps":
            threading.Timer(2, os._exit, [3]).start()
        is_bad = mode == "errors" and sum(counts.values()) % 5 == 4
        is_bad |= mode == "late" and started[-1] - started[0] > 10
        late = is_bad and rows[0]["age"] != 37
        counts[500 if late or mode == "wrong" else 200] += 1
        if late or mode == "wrong":
            self.answer(500, {"detail": "the graph has no such input"})
        else:
            model = {"name": "toy", "version": version}
            self.answer(200, {"predictions": [row["age"] for row in rows], "model": model})
    def answer(self, code, body):
        self.write(code, json.dumps(body).encode())
    def write(self, code, data):
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
server = Server(("", 8000), Handler)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("toy server", version, "up", flush=True)
server.serve_forever()
"""


def push(registry: str, mode: str, version: str) -> str:
    """Put a toy model's image into the registry; return its reference by digest."""
    environment = {"MODE": mode, "VERSION": version}
    return image(registry, f"toy:{mode}-{version}", environment, {"Entrypoint": ["python3", "-c", SERVER]})


def image(
    registry: str,
    name: str,
    environment: Mapping[str, str],
    run: Mapping[str, Any] | None = None,
    layer: bytes = b"",
    on: tuple[str, str] = BASE,
) -> str:
    """Put the image `on` under another configuration, and one more layer (a gzipped tar); by digest.

    Without `run` it starts as its base does.
    """
    http = urllib3.PoolManager()
    repository, tag = name.split(":")
    base, base_tag = on
    accept = {"Accept": f"{MEDIA}.manifest.v1+json"}
    manifest = http.request("GET", f"http://{registry}/v2/{base}/manifests/{base_tag}", headers=accept).json()
    below = http.request("GET", f"http://{registry}/v2/{base}/blobs/{manifest['config']['digest']}").json()
    variables = [*below["config"]["Env"], *(f"{key}={value}" for key, value in environment.items())]

    def upload(content: bytes, kind: str) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        where = http.request("POST", f"http://{registry}/v2/{repository}/blobs/uploads/").headers["Location"]
        assert http.request("PUT", f"{where}&digest={digest}", body=content).status == 201
        return {"mediaType": f"{MEDIA}.{kind}", "digest": digest, "size": len(content)}

    for known in manifest["layers"]:
        mount = f"/v2/{repository}/blobs/uploads/?mount={known['digest']}&from={base}"
        assert http.request("POST", f"http://{registry}{mount}").status == 201
    layers, contents = manifest["layers"], below["rootfs"]["diff_ids"]
    if layer:
        layers = [*layers, upload(layer, "layer.v1.tar+gzip")]
        contents = [*contents, f"sha256:{hashlib.sha256(gzip.decompress(layer)).hexdigest()}"]
    starts = below["config"] if run is None else run
    configured = {**starts, "Env": variables}
    config = below | {"config": configured, "rootfs": {"type": "layers", "diff_ids": contents}}
    document = manifest | {"config": upload(json.dumps(config).encode(), "config.v1+json"), "layers": layers}
    address = f"http://{registry}/v2/{repository}/manifests/{tag}"
    kind = {"Content-Type": f"{MEDIA}.manifest.v1+json"}
    pushed = http.request("PUT", address, body=json.dumps(document).encode(), headers=kind)
    assert pushed.status == 201, pushed.data
    return f"{registry}/{repository}@{pushed.headers['Docker-Content-Digest']}"


class Callers:
    """Callers who ask a Service for predictions, one connection a request, until the block ends."""

    def __init__(self, address: str, *, callers: int = 3, pause_s: float = 0.02) -> None:
        self.address, self.pause_s = address, pause_s
        self.versions: list[str] = []  # of every answer, in order
        self.failures: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]

    def __enter__(self) -> Self:
        # A new Service is refused until the node's proxy has heard of its pods.
        deadline = time.monotonic() + 20
        while self._ask()[1]:
            assert time.monotonic() < deadline, self._ask()
            time.sleep(0.2)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, version: str, seconds: float = 20) -> None:
        """Wait until only `version` answers."""
        deadline = time.monotonic() + seconds
        while True:
            seen = len(self.versions)
            time.sleep(0.3)
            latest = self.versions[seen:]
            if latest and set(latest) == {version}:
                return
            assert time.monotonic() < deadline, latest

    def _call(self) -> None:
        while not self._over.is_set():
            version, failure = self._ask()
            if failure:
                self.failures.append(failure)
            else:
                self.versions.append(version)
            time.sleep(self.pause_s)

    def _ask(self) -> tuple[str, str]:
        """The version that answered, or what went wrong."""
        body: Any = json.dumps({"instances": [{"age": 1}]})
        headers = {"Connection": "close", "Content-Type": "application/json"}
        try:
            with urllib3.PoolManager(retries=False, timeout=5) as http:
                answer = http.request("POST", f"{self.address}/predict", body=body, headers=headers)
                if answer.status == 200:
                    return answer.json()["model"]["version"], ""
                return "", f"{answer.status} {answer.data[:100]!r}"
        except urllib3.exceptions.HTTPError as error:
            return "", str(error)
