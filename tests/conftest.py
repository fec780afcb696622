"""What engine and cluster tests stand on: the project's lab, its command line, projects to spoil."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from lab import lifecycle, paths, processes
from tests import calls
from tests.calls import Dagger, Project

SERVICES = {"registry", "engine", "kubelet"}
LAB_TIMEOUT = 400  # seconds
IN_THE_LAB = tuple(str(Path(__file__).parent / folder) for folder in ("engine", "cluster", "lab"))


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in its own
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let one worker have all that needs the lab, of which a machine has one, while others run the rest.

    A call of the engine may have to fetch what it needs first.
    """
    for item in items:
        if str(item.path).startswith(IN_THE_LAB):
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(LAB_TIMEOUT))
            if config.pluginmanager.hasplugin("xdist"):
                item.add_marker(pytest.mark.xdist_group("lab"))


@dataclass(frozen=True)
class Lab:
    """A real engine, registry and cluster, all up."""

    environment: dict[str, str]  # what clients need, beside this process's own variables
    kubeconfig: Path
    registry: str = paths.REGISTRY
    kube_api: str = "tcp://localhost:6443"

    @property
    def cluster(self) -> tuple[str, str]:
        """The flags that name the cluster."""
        return f"--kubeconfig=file://{self.kubeconfig}", f"--kube-api={self.kube_api}"

    def tags(self, repository: str) -> list[str]:
        """List what the registry has under a name; nothing where it does not know the name."""
        answer = urllib3.request("GET", f"http://{self.registry}/v2/{repository}/tags/list")
        assert answer.status in {200, 404}, answer.data
        return list(answer.json().get("tags") or ())


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Start the lab unless it is up, and end it only if it was started here."""
    was_up = {process.service for process in processes.found()} >= SERVICES
    if not was_up:
        lifecycle.up(cluster=True, gpu_recorder=False)
    variables = lifecycle.environment() | {"PATH": f"{paths.BIN}{os.pathsep}{os.environ['PATH']}"}
    yield Lab(variables, paths.KUBECONFIG)
    if not was_up:
        lifecycle.down()


@pytest.fixture(scope="session")
def dagger(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Dagger:
    """Give the real command line, on the lab's engine.

    The engine has seen the quick project by then: the first test does not wait for its packages.
    """
    quick = calls.copy("tumours", tmp_path_factory.mktemp("quick") / "tumours")
    Dagger(lab.environment, timeout=1800).call(quick.path, "full-pipeline")
    return Dagger(lab.environment)


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str], Project]:
    """Copy a project of tests/projects by its name."""
    return lambda name: calls.copy(name, tmp_path / name)


@pytest.fixture
def tumours(project: Callable[[str], Project]) -> Project:
    """Copy the quick project, whose training is its own command."""
    return project("tumours")
