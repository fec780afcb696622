"""Every function called alone, and its result used."""

import json
import re
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import urllib3

from tests.calls import Dagger, Project, ask
from tests.conftest import Lab

pytestmark = pytest.mark.engine

MANIFESTS = ", ".join(
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"]
)
ROW = {
    "radius": 17.99, "texture": 10.38, "perimeter": 122.8, "area": 1001, "smoothness": 0.1184,
    "compactness": 0.2776, "concavity": 0.3001, "concave_points": 0.1471, "symmetry": 0.2419,
    "fractal_dimension": 0.07871,
}  # fmt: skip


def test_lint_tells_what_it_ran(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "lint")
    assert answer.code == 0
    assert re.fullmatch(r"ruff check [\d.]+: no findings\nruff format [\d.]+: no findings\n", answer.out)


def test_test_tells_what_passed(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "test", "--python-versions=3.13")
    assert answer.code == 0
    assert "2 passed, 0 skipped, coverage " in answer.out


def test_test_tells_a_python_that_is_not_there(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "test", "--python-versions=1.0")
    assert answer.code == 1
    (line,) = answer.errors
    assert line.startswith("test: no environment: ")
    assert "python:1.0-slim: not found; " in line


def test_validate_data_describes_each_column(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "validate-data")
    assert answer.code == 0
    assert answer.out.startswith("569 rows, 11 columns, 0 violations\n")
    assert re.search(r"^  diagnosis +string +2 distinct$", answer.out, re.MULTILINE)


def test_train_exports_a_model_that_answers(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "train", "export", "--path=model")
    assert answer.code == 0
    folder = tumours.path / "model"
    assert {path.name for path in folder.iterdir()} == {
        "model.onnx",
        "model.json",
        "metrics.json",
        "history.csv",
    }
    signature = json.loads((folder / "model.json").read_text())
    assert (signature["name"], signature["classes"], signature["positive"]) == (
        "tumours",
        ["benign", "malignant"],
        "malignant",
    )
    assert [column["name"] for column in signature["columns"]] == list(ROW)
    session: Any = onnxruntime.InferenceSession(folder / "model.onnx")
    labels, chances = session.run(None, {name: [value] for name, value in ROW.items()})
    assert list(labels) == ["malignant"]
    assert abs(chances.sum() - 1) < 1e-6


def test_build_image_exports_an_image_without_root_or_tools(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "build-image", "as-tarball", "export", "--path=image.tar")
    assert answer.code == 0
    with tarfile.open(tumours.path / "image.tar") as archive:

        def blob(digest: str) -> Any:
            file = archive.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert file
            return json.load(file)

        index = archive.extractfile("index.json")
        assert index
        manifest = blob(json.load(index)["manifests"][0]["digest"])
        config = blob(manifest["config"]["digest"])["config"]
    assert config["User"] == "10001"
    assert config["Entrypoint"] == ["/opt/venv/bin/python", "-m"]
    assert config["Cmd"] == ["ml_pipeline.serving.serve"]
    assert config["ExposedPorts"] == {"8000/tcp": {}}
    assert config["Labels"]["org.opencontainers.image.title"] == "tumours"


def test_validate_gate_shows_the_gates(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "validate-gate")
    assert answer.code == 0
    assert answer.out.startswith("## ✅ tumours: may ship\n\n1 of 1 gates passed on 113 holdout rows\n")
    assert "| ✅ | `accuracy` | 0.9" in answer.out


def test_what_publish_returns_is_in_the_registry_and_a_baseline(
    dagger: Dagger, lab: Lab, tumours: Project
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    tumours.write(".git/HEAD", f"{commit}\n")
    answer = dagger.call(tumours.path, "publish", f"--registry={lab.registry}/alone")
    assert answer.code == 0
    name, _, digest = answer.out.strip().partition("@")
    repository, _, tag = name.removeprefix(f"{lab.registry}/").rpartition(":")
    assert repository == "alone/tumours"
    assert tag in lab.tags(repository)
    there = f"http://{lab.registry}/v2/{repository}"
    manifest = urllib3.request("GET", f"{there}/manifests/{tag}", headers={"Accept": MANIFESTS})
    assert manifest.headers["Docker-Content-Digest"] == digest
    config = urllib3.request("GET", f"{there}/blobs/{manifest.json()['config']['digest']}").json()
    labels = {key.rpartition(".")[2]: value for key, value in config["config"]["Labels"].items()}
    assert labels["revision"] == commit
    assert (labels["title"], labels["version"]) == ("tumours", tag)

    gates = "{min = 0.85, max_regression = 0}\nprediction_drift = {max = 0}"
    tumours.replace("ml-pipeline.toml", "{min = 0.85}", gates)
    judged = dagger.call(tumours.path, "validate-gate", f"--baseline={answer.out.strip()}")
    assert judged.code == 0, judged.errors
    row = re.search(
        r"`accuracy` \| (0\.9\d+) \[.+\] \| (0\.9\d+) \(0\) \| ≥ 0\.85, regression ≤ 0", judged.out
    )
    assert row
    assert row[1] == row[2]
    assert "| ✅ | `prediction_drift` | 0 |" in judged.out

    tumours.write("tests/lonely.py", "import os\n")
    report = dagger.call(
        tumours.path, "report", f"--baseline={answer.out.strip()}", "export", "--path=report"
    )
    assert report.code == 0, report.errors
    verdict = json.loads((tumours.path / "report" / "report.json").read_text())["verdict"]
    assert re.fullmatch("[a-z0-9]+:[0-9a-f]{64}", verdict["digests"]["candidate"])
    assert verdict["digests"]["baseline"] == answer.out.strip().partition("@")[2]
    assert 0 < verdict["metrics"]["cold_start_ms"] < 60_000
    assert verdict["baseline"]["latency_p95_ms"] > 0, "it was asked as it runs"
    assert 100 < verdict["baseline"]["image_mb"] < 1000
    above = verdict["metrics"]["image_above_base_mb"], verdict["metrics"]["image_above_base_compressed_mb"]
    assert 160 > above[0] > above[1] > 20
    kept = verdict["baseline"]["accuracy"]
    assert kept == pytest.approx(float(row[2]), abs=1e-4), "a failed lint does not lose the baseline"


# What else an image shows → a part of it.
PAGES = {"/": "tumours", "/openapi.json": '"/predict"', "/metrics": "ml_input_rows 2"}


def test_serve_answers_on_this_machine(dagger: Dagger, tumours: Project) -> None:
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    command = dagger.command(tumours.path, "serve", "up", f"--ports={port}:8000")
    with running(command, dagger, tumours.path):
        answer = ask(f"http://localhost:{port}/predict", {"instances": [ROW, ROW]}, patience_s=120)
        pages = {path: urllib3.request("GET", f"http://localhost:{port}{path}") for path in PAGES}
    for path, shown in PAGES.items():
        assert pages[path].status == 200
        assert shown in pages[path].data.decode()
    assert answer["predictions"] == ["malignant", "malignant"]
    assert answer["model"]["name"] == "tumours"


@contextmanager
def running(command: list[str], dagger: Dagger, folder: Path) -> Iterator[None]:
    """Keep a command running until the block ends."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=dagger.variables, cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_report_is_a_folder_to_look_at(dagger: Dagger, tumours: Project) -> None:
    answer = dagger.call(tumours.path, "report", "export", "--path=report")
    assert answer.code == 0
    folder = tumours.path / "report"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {"report.html", "summary.md", "report.json", "junit.xml", "training.png"}
    assert "tumours: may ship" in (folder / "summary.md").read_text()
    assert (folder / "junit.xml").read_text().count("<testcase ") >= 2
    assert "tumours: may ship" in (folder / "report.html").read_text()


def test_report_tells_of_what_failed_before_its_stage_began(dagger: Dagger, tumours: Project) -> None:
    pins = (tumours.path / "requirements.txt").read_text()
    tumours.write("requirements.txt", f"{pins}idna==99.0\n")
    answer = dagger.call(tumours.path, "report", "export", "--path=report")
    assert answer.code == 0, answer.errors
    text = (tumours.path / "report" / "summary.md").read_text()
    assert text.startswith("## ❌ tumours: do not ship")
    for stage in ("test", "train"):
        assert (
            f"| ❌ | {stage} |  | the project's requirements can't be installed: Because there is no" in text
        )


def test_report_tells_of_a_run_that_failed(dagger: Dagger, tumours: Project) -> None:
    tumours.replace("ml-pipeline.toml", "min = 0.85", "min = 0.99")
    tumours.write("tests/lonely.py", "import os\n")
    answer = dagger.call(tumours.path, "report", "export", "--path=report")
    assert answer.code == 0
    text = (tumours.path / "report" / "summary.md").read_text()
    assert "❌ tumours: do not ship" in text
    assert "lint: findings: 1 by ruff check; the first: tests/lonely.py:1: F401" in text
    assert "| ❌ | `accuracy` |" in text
