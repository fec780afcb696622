"""Model folders, servers and projects that tests of programs share."""

import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.browsing import chromium
from tests.clusters import Target
from tests.conftest import Lab
from tests.model.inspections import inspect, model  # noqa: F401 - fixtures
from tests.odd_images import Answer, serving
from tests.people import Project, people
from tests.programs import PREDICTOR, SOURCE, Server, Start, graph, signature


@pytest.fixture(scope="session")
def onnx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx-model")
    onnx.save(graph(), folder / "model.onnx")
    (folder / "model.json").write_text(json.dumps(signature()))
    return folder


@pytest.fixture(scope="session")
def python_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("python-model")
    (folder / "predictor.py").write_text(PREDICTOR)
    (folder / "helper_beside_it.py").write_text("LIMIT = 40\n")
    (folder / "model.json").write_text(json.dumps(signature(runtime="python")))
    return folder


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Return a function that starts a server on a free port; all servers end with the session.

    `limits` are options of prlimit(1).
    """
    started: list[subprocess.Popen[str]] = []
    logs = tmp_path_factory.mktemp("logs")

    def start_one(
        folder: Path, program: str = "serving.serve", limits: Sequence[str] = (), **variables: str
    ) -> Server:
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "ML_MODEL": str(folder), "ML_PORT": "0"}
        log = logs / f"{len(started)}.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                [*(["prlimit", *limits] if limits else []), sys.executable, "-m", f"ml_pipeline.{program}"],
                env=environment | {"ML_DRAIN": "0"} | variables,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            pytest.fail(log.read_text())
        return Server(process, int(line.rsplit(" ", 1)[1]), log)

    yield start_one
    for process in started:
        process.terminate()
        assert process.stdout is not None
        process.stdout.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


@pytest.fixture
def odd_image() -> Iterator[Callable[[Answer], str]]:
    """Return a function that serves wrong answers; see `tests.odd_images`."""
    with contextlib.ExitStack() as servers:
        yield lambda answer: servers.enter_context(serving(answer))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.put(people())
    return project


@pytest.fixture
def target(lab: Lab, tmp_path: Path) -> Iterator[Target]:
    """Name a namespace that does not exist yet, for the lab's administrator, and delete it afterwards."""
    made = Target(tmp_path, lab.kubeconfig, f"test-{uuid.uuid4().hex[:8]}", lab.kubeconfig)
    yield made
    made.kubectl("delete", "namespace", made.namespace, "--ignore-not-found", "--wait=false")
