"""The images that the lab writes, read again by the rules of the OCI format."""

import gzip
import hashlib
import http.server
import json
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from lab import oci
from lab.errors import LabError

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True)
def _logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.steps.LOGS", tmp_path / "logs")


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def blob(layout: Path, digest: str) -> bytes:
    content = (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
    return content


def manifest(layout: Path, digest: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(blob(layout, digest))
    return content


def test_a_layout_s_digests_are_those_of_its_contents(tmp_path: Path) -> None:
    layer = oci.pack(folder(tmp_path / "root", hello="hi"), tmp_path / "layer.tar.gz", root_owned=True)
    digest = oci.write_layout(tmp_path / "layout", [layer], env={"A": "b"}, entrypoint="/hello")

    image = manifest(tmp_path / "layout", digest)
    config = json.loads(blob(tmp_path / "layout", image["config"]["digest"]))
    packed = blob(tmp_path / "layout", image["layers"][0]["digest"])
    assert image["layers"][0]["size"] == len(packed)
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}"]
    assert config["config"]["Entrypoint"] == ["/hello"]
    assert "A=b" in config["config"]["Env"]
    assert oci.digest_of(tmp_path / "layout") == digest


def test_a_packed_folder_belongs_to_root_whoever_owns_it(tmp_path: Path) -> None:
    oci.pack(folder(tmp_path / "root", hello="hi"), tmp_path / "layer.tar.gz", root_owned=True)
    with tarfile.open(tmp_path / "layer.tar.gz") as tar:
        members = {member.name: (member.uid, member.gid) for member in tar}
    assert members == {".": (0, 0), "./hello": (0, 0)}


def test_a_layout_on_another_s_layers_holds_them_all(tmp_path: Path) -> None:
    base = oci.pack(folder(tmp_path / "one", a="a"), tmp_path / "one.tar.gz")
    oci.write_layout(tmp_path / "base", [base])
    top = oci.pack(folder(tmp_path / "two", b="b"), tmp_path / "two.tar.gz")
    digest = oci.write_layout(tmp_path / "both", [*oci.layers_of(tmp_path / "base"), top])
    layers = manifest(tmp_path / "both", digest)["layers"]
    assert [layer["digest"] for layer in layers] == [f"sha256:{base.digest}", f"sha256:{top.digest}"]
    assert all(blob(tmp_path / "both", layer["digest"]) for layer in layers)


def test_merged_layouts_have_every_manifest_and_blob(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        layer = oci.pack(folder(tmp_path / f"{name}-root", file=name), tmp_path / f"{name}.tar.gz")
        digests.append(oci.write_layout(tmp_path / name, [layer]))
    oci.merge_layouts([tmp_path / "one", tmp_path / "two"], tmp_path / "merged")
    index = json.loads((tmp_path / "merged" / "index.json").read_text())
    assert [entry["digest"] for entry in index["manifests"]] == digests
    for digest in digests:
        image = manifest(tmp_path / "merged", digest)
        assert blob(tmp_path / "merged", image["layers"][0]["digest"])


def test_an_image_that_the_registry_has_is_not_copied_again(tmp_path: Path) -> None:
    layer = oci.pack(folder(tmp_path / "root", hello="hi"), tmp_path / "layer.tar.gz")
    digest = oci.write_layout(tmp_path / "layout", [layer])
    asked = []

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Docker-Content-Digest", digest)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever).start()
        oci.push(tmp_path / "layout", f"127.0.0.1:{server.server_port}", "some/name:tag")
        server.shutdown()
    assert asked == ["/v2/some/name/manifests/tag"]


def test_a_registry_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"the registry at 127\.0\.0\.1:1 does not answer"):
        oci.push(tmp_path, "127.0.0.1:1", "some/name:tag")


def test_a_folder_that_cannot_be_packed_fails_with_the_log_s_last_lines(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"packing missing failed \(exit 2\); its log is (?s:.*)Cannot open"):
        oci.pack(tmp_path / "missing", tmp_path / "layer.tar.gz")
