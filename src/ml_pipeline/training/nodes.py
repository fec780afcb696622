"""Training on several nodes of a Kubernetes cluster: the training container as an image, and a Job of it."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

import dagger

from ml_pipeline.cluster.access import Cluster, connected
from ml_pipeline.engine.environments import program_files
from ml_pipeline.engine.paths import OUTPUT, PROGRAMS
from ml_pipeline.engine.run import Finished, Run
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import ConfigError
from ml_pipeline.project.schema import Project
from ml_pipeline.publishing.stages import Registry, push
from ml_pipeline.training import job as training_job
from ml_pipeline.training.job import TrainingJob

PUBLISH = Stage("publish-training", reads=("the training container",))
TRAIN = Stage("train", "ml_pipeline.training.run_job", ("the training image",), ("as train",), "training")


@dataclass(frozen=True)
class Nodes:
    """How many nodes of which cluster train, and the registry from which they pull the image."""

    count: int
    cluster: Cluster
    registry: Registry


def chosen(count: int, cluster: Cluster | None, registry: Registry | None) -> Nodes | None:
    """Return the nodes that the options choose; None for one node, the engine's. Raises ConfigError."""
    if count < 1:
        raise ConfigError(f"--nodes={count} is out of range", "use 1 or more")
    if count == 1:
        return None
    if not cluster or not registry:
        cause = f"--nodes={count} trains on a cluster, with an image from a registry"
        raise ConfigError(cause, "pass --kubeconfig and --registry too")
    return Nodes(count, cluster, registry)


async def train(
    run: Run, nodes: Nodes, container: dagger.Container, key: str, arguments: Sequence[str]
) -> Finished:
    """Publish the training container, with its rows, and run it as a Job; `key` names the run.

    Like any exec it is cached: the same image on as many nodes trains once.
    """
    # A command, which the cache answers: a folder would be a new layer, and another digest, each time.
    added = run.environments.with_folder(program_files(training_job.NODE), PROGRAMS)
    image = container.with_(added).with_(run.environments.without_index)
    name = f"{run.project.name}-training"
    # PyTorch with CUDA's libraries is 7 GB, which gzip takes several times as long for.
    zstd = dagger.ImageLayerCompression.Zstd
    reference = await push(run, PUBLISH, image, nodes.registry, name, key[:12], zstd)
    job = _job(run.project, nodes.count, reference, key, run.environments.gpu == "on", arguments)
    watcher, flags = await connected(run, TRAIN, nodes.cluster, json.dumps(dataclasses.asdict(job)))
    return await run.stage(TRAIN, watcher, [*flags, "--output", OUTPUT])


def _job(
    project: Project, count: int, image: str, key: str, cuda: bool, arguments: Sequence[str]
) -> TrainingJob:
    node = project.train.node
    return TrainingJob(
        name=training_job.name(project.name, key),
        namespace=project.deploy.namespace,
        image=image,
        nodes=count,
        device="cuda" if cuda else "cpu",
        arguments=tuple(arguments),
        schedule_s=project.train.timeout or TrainingJob.schedule_s,
        cpu_millicores=node.cpu_millicores,
        memory_mb=node.memory_mb,
        gpus=node.gpus,
    )
