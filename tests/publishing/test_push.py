"""Layers and manifests that no clock went into, and their way into a registry."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.programs import run
from tests.publishing import token_registry
from tests.publishing.token_registry import PASSWORD, USERNAME, Registry

pytestmark = pytest.mark.program

LONG = "a-name-" * 30
BASE = b"the base's only layer"
SETTINGS = {"User": "10001", "Env": ["PATH=/bin"], "Labels": {"title": "adult"}}
LOGIN = "check --registry, --registry-username and --registry-password"


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def folder(path: Path, names: list[str], seconds: int) -> Path:
    """Make a folder of files, in an order and with a time."""
    path.mkdir()
    for name in names:
        file = path / name
        file.parent.mkdir(exist_ok=True)
        if name == "link":
            file.symlink_to("sub/nowhere")
        else:
            file.write_text(f"content of {name}\n")
            file.chmod(0o755 if name == "run" else 0o644)
        os.utime(file, (seconds, seconds), follow_symlinks=False)
    return path


def packed(source: Path, output: Path) -> Path:
    done = run("publishing.pack", "--folder", source, "--path", "/opt/here", "--output", output)
    assert done.returncode == 0, done.stderr
    return output


NAMES = ["run", "sub/b", "sub/a", "link", f"sub/{LONG}"]


def test_the_same_files_are_the_same_layer(tmp_path: Path) -> None:
    one = packed(folder(tmp_path / "one", NAMES, 1_000_000_000), tmp_path / "packed")
    other = packed(folder(tmp_path / "other", NAMES[::-1], 1_234_567_890), tmp_path / "again")
    assert (one / "layer.tar.gz").read_bytes() == (other / "layer.tar.gz").read_bytes()
    (tmp_path / "one" / "sub" / "c").hardlink_to(tmp_path / "one" / "sub" / "b")
    shutil.copy2(tmp_path / "other" / "sub" / "b", tmp_path / "other" / "sub" / "c")
    linked, copied = packed(tmp_path / "one", one), packed(tmp_path / "other", other)
    assert (linked / "layer.tar.gz").read_bytes() == (copied / "layer.tar.gz").read_bytes()
    (tmp_path / "other" / "run").chmod(0o644)
    changed = packed(tmp_path / "other", tmp_path / "changed")
    assert (one / "layer.json").read_text() != (changed / "layer.json").read_text()


def test_a_layer_has_all_of_the_folder_but_its_times(tmp_path: Path) -> None:
    layer = packed(folder(tmp_path / "one", NAMES, 1_000_000_000), tmp_path / "packed")
    data = (layer / "layer.tar.gz").read_bytes()
    description = json.loads((layer / "layer.json").read_text())
    assert (description["digest"], description["size"]) == (sha256(data), len(data))
    assert description["diff_id"] == sha256(gzip.decompress(data))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {info.name: info for info in tar}
        names = ["", "/link", "/run", "/sub", "/sub/a", f"/sub/{LONG}", "/sub/b"]
        assert list(members) == [f"opt/here{name}" for name in names]
        assert {info.mtime for info in members.values()} == {0}
        assert (members["opt/here/run"].mode, members["opt/here/sub/a"].mode) == (0o755, 0o644)
        assert members["opt/here/link"].linkname == "sub/nowhere"
        content = tar.extractfile("opt/here/sub/b")
        assert content
        assert content.read() == b"content of sub/b\n"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An image as an engine exports it: with the moment of its making in it."""
    media = "application/vnd.oci.image"
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2026-01-02T03:04:05.6Z",
            "history": [{"created": "2026-01-02T03:04:05.6Z"}],
            "config": SETTINGS,
            "rootfs": {"type": "layers", "diff_ids": [sha256(b"unpacked")]},
        }
    ).encode()
    layer = {"mediaType": f"{media}.layer.v1.tar+zstd", "digest": sha256(BASE), "size": len(BASE)}
    manifest = json.dumps({"config": {"digest": sha256(config)}, "layers": [layer]}).encode()
    files = {
        "index.json": json.dumps({"manifests": [{"digest": sha256(manifest)}]}).encode(),
        **{f"blobs/{sha256(data).replace(':', '/')}": data for data in (config, manifest, BASE)},
    }
    path = tmp_path / "exported.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    return packed(folder(tmp_path / "one", NAMES, 1_000_000_000), tmp_path / "packed")


@pytest.fixture
def registry() -> Iterator[Registry]:
    with token_registry.serving() as registry:
        yield registry


def push(
    exported: Path, layer: Path, address: str, outcome: Path, password: str = PASSWORD
) -> subprocess.CompletedProcess[str]:
    file = outcome.with_name("password")
    file.write_text(f"{password}\n")
    words = ["--exported", str(exported), "--layer", str(layer), "--to", f"http://{address}/models/adult:1"]
    words += ["--username", USERNAME, "--password-file", str(file), "--healthcheck", '["curl", "localhost"]']
    return run("publishing.push", *words, ML_OUTCOME=str(outcome))


def test_what_is_pushed_has_no_time_in_it(
    exported: Path, layer: Path, registry: Registry, tmp_path: Path
) -> None:
    done = push(exported, layer, registry.address, tmp_path / "outcome.json")
    assert done.returncode == 0, done.stderr
    data = registry.manifests["1"]
    details = json.loads((tmp_path / "outcome.json").read_text())["details"]
    assert details["digest"] == sha256(data)
    manifest: dict[str, Any] = json.loads(data)
    media = "application/vnd.oci.image"
    assert manifest["mediaType"] == f"{media}.manifest.v1+json"
    lower, upper = manifest["layers"]
    assert lower == {"mediaType": f"{media}.layer.v1.tar+zstd", "digest": sha256(BASE), "size": len(BASE)}
    added = json.loads((layer / "layer.json").read_text())
    assert upper == {
        "mediaType": f"{media}.layer.v1.tar+gzip", "digest": added["digest"], "size": added["size"]
    }  # fmt: skip
    assert registry.blobs[upper["digest"]] == (layer / "layer.tar.gz").read_bytes()
    config = json.loads(registry.blobs[manifest["config"]["digest"]])
    assert {entry["created"] for entry in [config, *config["history"]]} == {"1970-01-01T00:00:00Z"}
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"]) == 2
    health = config["config"].pop("Healthcheck")
    assert health["Test"] == ["CMD", "curl", "localhost"]
    assert config["config"] == SETTINGS


def test_a_registry_s_token_goes_nowhere_else_and_what_it_has_is_not_sent(
    exported: Path, layer: Path, registry: Registry, tmp_path: Path
) -> None:
    registry.blobs[sha256(BASE)] = BASE
    for expected in (2, 2):  # the layer and the configuration; then nothing
        assert push(exported, layer, registry.address, tmp_path / "outcome.json").returncode == 0
        assert registry.store_logins == [None] * expected
    assert set(registry.scopes) == {"repository:models/adult:pull,push"}
    assert json.loads((tmp_path / "outcome.json").read_text())["details"]["bytes"] == 0


def test_a_place_elsewhere_does_not_learn_the_login(
    exported: Path, layer: Path, registry: Registry, tmp_path: Path
) -> None:
    registry.store_asks = True
    done = push(exported, layer, registry.address, tmp_path / "outcome.json")
    assert (done.returncode, registry.store_logins, len(registry.scopes)) == (1, [None], 1)
    assert "refused the image: 401 Unauthorized" in done.stderr


def test_a_refusal_is_one_line(exported: Path, layer: Path, registry: Registry, tmp_path: Path) -> None:
    done = push(exported, layer, registry.address, tmp_path / "outcome.json", "wrong-word")
    refused = f"publish: http://{registry.address}/models/adult refused the image: 401 Unauthorized"
    assert (done.returncode, done.stderr) == (1, f"{refused} (DENIED: who are you); {LOGIN}\n")


def test_nobody_there(exported: Path, layer: Path, tmp_path: Path) -> None:
    done = push(exported, layer, "127.0.0.1:9", tmp_path / "outcome.json")
    assert done.returncode == 1
    assert done.stderr.startswith("publish: 127.0.0.1:9 can't be reached: ")
    assert "Connection refused" in done.stderr
    assert done.stderr.count("\n") == 1
