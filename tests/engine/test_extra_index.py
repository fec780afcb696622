"""A package that only an index with a password has, asked for by a project."""

import base64
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lab import paths
from tests.calls import Dagger, Project

PASSWORD = "open-sesame"  # noqa: S105 - of the index below
CREDENTIALS = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
WHEEL = "hidden_gem-1.0-py3-none-any.whl"


def wheel() -> bytes:
    """Return a package that holds one number."""
    folder = "hidden_gem-1.0.dist-info"
    files = {
        "hidden_gem.py": "VALUE = 42\n",
        f"{folder}/METADATA": "Metadata-Version: 2.1\nName: hidden-gem\nVersion: 1.0\n",
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{folder}/RECORD": "",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


CONTENT = wheel()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class _Index(BaseHTTPRequestHandler):
    """One package, for those who know the password."""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != CREDENTIALS:
            self._say(401, b"")
        elif self.path == "/simple/hidden-gem/":
            self._say(200, f'<a href="/{WHEEL}">{WHEEL}</a>'.encode(), "text/html")
        elif self.path == f"/{WHEEL}":
            self._say(200, CONTENT)
        else:
            self._say(404, b"")

    do_HEAD = do_GET  # noqa: N815

    def _say(self, status: int, body: bytes, kind: str = "application/octet-stream") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="gems"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def index(dagger: Dagger) -> Iterator[str]:
    """Serve the index on the address that the lab's containers know this machine by."""
    server = ThreadingHTTPServer((paths.ENGINE_GATEWAY, 0), _Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"{paths.ENGINE_GATEWAY}:{server.server_port}/simple"
    server.shutdown()
    server.server_close()


@pytest.mark.timeout(600)
def test_a_package_of_an_index_with_a_password(dagger: Dagger, tumours: Project, index: str) -> None:
    requirements = (tumours.path / "requirements.txt").read_text()
    tumours.write("requirements.txt", f"{requirements}hidden-gem==1.0 --hash=sha256:{DIGEST}\n")
    # Who trains sees the package, and not the password.
    tumours.write(
        "tumours/gem.py",
        "import os\n\nimport hidden_gem\n\n"
        "assert hidden_gem.VALUE == 42\nassert not os.environ.get('UV_INDEX')\n",
    )
    command = "python -m tumours.gem && python -m tumours.train"
    tumours.replace("ml-pipeline.toml", "python -m tumours.train", command)
    known = Dagger({**dagger.environment, "INDEX": f"http://me:{PASSWORD}@{index}"})
    wrong = Dagger({**dagger.environment, "INDEX": f"http://me:wrong-word@{index}"})
    refused = wrong.call(tumours.path, "train", options=["--extra-index=env://INDEX"])
    assert refused.code == 1
    assert "401 Unauthorized" in refused.errors[0]
    answer = known.call(tumours.path, "train", "entries", options=["--extra-index=env://INDEX"])
    assert answer.code == 0, answer.errors
    assert "model.onnx" in answer.out
    tumours.replace("requirements.txt", DIGEST, "0" * 64)
    changed = known.call(tumours.path, "train", options=["--extra-index=env://INDEX"])
    line = (
        "train: the project's requirements can't be installed: Hash mismatch for `hidden-gem==1.0` "
        f"Expected: sha256:{'0' * 64} Computed: sha256:{DIGEST}; mend requirements.txt"
    )
    assert (changed.code, changed.errors) == (1, [line])
    for said in (refused, answer, changed):
        assert PASSWORD not in said.log + said.out
        assert "wrong-word" not in said.log + said.out


@pytest.mark.timeout(600)
def test_two_builds_from_nothing_have_the_same_files(dagger: Dagger, tumours: Project, index: str) -> None:
    """With another index nothing is answered from the cache: all is installed, and trained, again."""
    known = Dagger({**dagger.environment, "INDEX": f"http://me:{PASSWORD}@{index}"})
    first = dagger.call(tumours.path, "build-image", "rootfs", "digest")
    again = known.call(tumours.path, "build-image", "rootfs", "digest", options=["--extra-index=env://INDEX"])
    assert (first.code, again.code) == (0, 0), first.errors + again.errors
    assert again.out == first.out
