"""Fixtures that tests share (the lab, its command line, copies of projects), and which tests run where.

A test file says by a mark what it needs beside the code and the `test` group of pyproject.toml. `documents`:
the documents, which the `test` stage of this project's own pipeline does not see. `program`: the packages of
the stages. `engine`, `cluster`, `lab`: a machine to build the lab on.
"""

import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from lab import lifecycle, paths, processes
from tests import calls, engine_lock
from tests.calls import Dagger, Project

SERVICES = {"registry", "engine", "kubelet"}
LAB_TIMEOUT = 900  # seconds: a slow machine that does three things at once
IN_THE_LAB = ("engine", "cluster", "lab")
WAS_UP = pytest.StashKey[bool]()
MARKED = re.compile(r"^pytestmark = .*pytest\.mark\.(documents|program|engine|cluster|lab)", re.MULTILINE)

if importlib.util.find_spec("polars"):
    pytest_plugins = ["tests.fixtures", "tests.gate.candidate"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import the files that a quick run leaves out: the `test` group has not all of their packages."""
    expression = config.option.markexpr
    if expression.startswith("not (") and collection_path.match("test_*.py"):
        mark = MARKED.search(collection_path.read_text(encoding="utf-8"))
        return True if mark and mark[1] in re.findall(r"\w+", expression) else None
    return None


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in its own
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Group the tests that need the lab: the cluster's all in one worker, the engine's by their files.

    They get more time: a call of the engine may have to download packages first.
    """
    unmarked = [
        item.nodeid for item in items if "lab" in getattr(item, "fixturenames", ()) and not _in_the_lab(item)
    ]
    if unmarked:
        raise pytest.UsageError(f"{unmarked[0]} uses the lab, but its file has no mark that says so")
    for item in items:
        if _in_the_lab(item):
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(LAB_TIMEOUT))
            if config.pluginmanager.hasplugin("xdist"):
                item.add_marker(pytest.mark.xdist_group(item.path.stem if _calls_only(item) else "cluster"))


def _in_the_lab(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(mark) for mark in IN_THE_LAB)


def _calls_only(item: pytest.Item) -> bool:
    return item.get_closest_marker("engine") is not None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Note whether the lab is up already: then it stays up."""
    session.config.stash[WAS_UP] = _is_up()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the lab if a test started it: once, after the last worker."""
    is_worker = hasattr(session.config, "workerinput")
    if not is_worker and not session.config.stash[WAS_UP] and _is_up():
        lifecycle.down()


def _is_up() -> bool:
    return {process.service for process in processes.current()} >= SERVICES


@dataclass(frozen=True)
class Lab:
    """A real engine, registry and cluster that are up."""

    environment: dict[str, str]  # the variables of clients, beside those of this process
    kubeconfig: Path
    registry: str = paths.REGISTRY
    kube_api: str = "tcp://localhost:6443"

    @property
    def cluster(self) -> tuple[str, str]:
        """Return the flags that name the cluster."""
        return f"--kubeconfig=file://{self.kubeconfig}", f"--kube-api={self.kube_api}"

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository in the registry; [] if there is none of this name."""
        answer = urllib3.request("GET", f"http://{self.registry}/v2/{repository}/tags/list")
        assert answer.status in {200, 404}, answer.data
        return list(answer.json().get("tags") or ())


@pytest.fixture(autouse=True)
def engine_in_use(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep the engine running during a test of the lab. Waiting here does not count as the test's time."""
    if _in_the_lab(request.node):
        with engine_lock.shared():
            yield
    else:
        yield


@pytest.fixture(scope="session")
def lab() -> Lab:
    """Start what is not up of the lab; another worker may be doing so too, and then this waits."""
    lifecycle.up(cluster=True, gpu_recorder=False)
    variables = lifecycle.environment() | {"PATH": f"{paths.BIN}{os.pathsep}{os.environ['PATH']}"}
    return Lab(variables, paths.KUBECONFIG)


@pytest.fixture(scope="session")
def dagger(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Dagger:
    """Return the real command line on the lab's engine.

    It runs the quick project once, so that the first test does not wait for packages.
    """
    quick = calls.copy("tumours", tmp_path_factory.mktemp("quick") / "tumours")
    Dagger(lab.environment, timeout=1800).call(quick.path, "full-pipeline")
    return Dagger(lab.environment)


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[str], Project]:
    """Return a function that copies a project of tests/projects by its name."""
    return lambda name: calls.copy(name, tmp_path / name)


@pytest.fixture
def tumours(copy_of: Callable[[str], Project]) -> Project:
    """Return a copy of the quick project, which trains by a command of its own."""
    return copy_of("tumours")
