"""Which engine the project's commands use on this machine: Docker or Podman, or the lab's own."""

import os
import shutil
import subprocess
import sys

from lab import lifecycle
from lab.errors import LabError

CONTAINER_ENGINES = ("docker", "podman")


def use(*, cluster: bool) -> dict[str, str]:
    """Return the environment that clients need; start the lab if there is no other engine.

    Raises LabError, which says what to install, if the lab can't run either.
    """
    if shutil.which("dagger") and any(answers(engine) for engine in CONTAINER_ENGINES):
        return {}
    if sys.platform != "linux" or os.geteuid() != 0:
        raise LabError(
            "no dagger command with a running container engine; install Dagger 0.19.10 and Docker or Podman, "
            "or run as root on Linux, where the lab builds its own"
        )
    lifecycle.up(cluster=cluster)
    environment = lifecycle.environment()
    if cluster:
        targets = ["--registry=localhost:5000/models", f"--kubeconfig=file://{environment['KUBECONFIG']}"]
        environment["ML_PIPELINE_TARGETS"] = " ".join([*targets, "--kube-api=tcp://localhost:6443"])
    return environment


def answers(engine: str) -> bool:
    """Return whether a container engine runs, not only its client."""
    if not shutil.which(engine):
        return False
    return subprocess.run([engine, "info"], capture_output=True, check=False).returncode == 0
