"""The cluster that the caller named, and containers whose program reaches it."""

from dataclasses import dataclass

import dagger

from ml_pipeline.engine.environments import with_pins, with_programs
from ml_pipeline.engine.paths import CONFIG
from ml_pipeline.engine.run import Run, service_port
from ml_pipeline.engine.stage import Stage

KUBECONFIG, API_ALIAS = "/kubeconfig", "kube-api"


@dataclass(frozen=True)
class Cluster:
    """A cluster, as a kubeconfig. `api` is its API server, where only the caller's machine can reach it."""

    kubeconfig: dagger.Secret
    api: dagger.Service | None = None


async def connected(
    run: Run, stage: Stage, cluster: Cluster, document: str
) -> tuple[dagger.Container, list[str]]:
    """Return a container whose program reaches the cluster, and the program's flags.

    `document` is the program's settings. Raises StageError where --kube-api can't be reached.
    """
    container = (
        run.environments.python()
        .with_(with_pins("deploy"))
        .with_(with_programs(stage.program))
        .with_new_file(CONFIG, document)
        .with_mounted_secret(KUBECONFIG, cluster.kubeconfig)
    )
    flags = ["--config", CONFIG, "--kubeconfig", KUBECONFIG]
    if cluster.api:
        container = container.with_service_binding(API_ALIAS, cluster.api)
        port = await service_port(stage.name, cluster.api, "--kube-api")
        flags += ["--api-server", f"https://{API_ALIAS}:{port}"]
    return container, flags
