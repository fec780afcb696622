"""What leaves the pipeline: `publish` to a registry, `deploy` and `rollback` on Kubernetes."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import dagger
from dagger import dag

from ml_pipeline import reproducible, settings, sources
from ml_pipeline.environments import with_pins, with_programs
from ml_pipeline.errors import ConfigError, StageError
from ml_pipeline.labels import REVISION, VERSION
from ml_pipeline.run import Finished, Run, service_port

CONFIG, KUBECONFIG, API_ALIAS = "/settings.json", "/kubeconfig", "kube-api"
DEPLOYER = (
    "manifests.py",
    "rollout.py",
    "stages/deploy.py",
    "stages/cluster.py",
    "stages/kubeconfig.py",
    "stages/retries.py",
    "stages/rolling.py",
)


@dataclass(frozen=True)
class Registry:
    """Where images go, as HOST[:PORT][/PATH], and who pushes them.

    `reproducible`: a program pushes, not the engine, whose clock would be in the image's digest.
    Raises ConfigError for a name without a password, or a password without a name.
    """

    address: str
    username: str | None = None
    password: dagger.Secret | None = None
    reproducible: bool = False

    @property
    def place(self) -> str:
        """The address without a scheme; the engine itself knows how it speaks with which registry."""
        return self.address.removeprefix("https://").removeprefix("http://").rstrip("/")

    def __post_init__(self) -> None:
        if bool(self.username) != bool(self.password):
            cause = "--registry-username and --registry-password go together"
            raise ConfigError(cause, "give both, or neither")


@dataclass(frozen=True)
class Cluster:
    """Which cluster, as a kubeconfig; `api` where only the caller's machine can reach it."""

    kubeconfig: dagger.Secret
    api: dagger.Service | None = None


async def publish(run: Run, image: dagger.Container, registry: Registry, version: str) -> str:
    """Push the image and return its reference by digest, as HOST/NAME:VERSION@sha256:….

    Only here it is told which commit it is of: before, a commit alone would have the gate judge it again.
    """
    if revision := await sources.revision(run.source):
        image = image.with_label(REVISION, revision)
    if registry.reproducible:
        reference = f"{registry.place}/{run.project.name}:{version}"
        scheme = "http" if registry.address.startswith("http://") else "https"
        login = registry.username, registry.password
        reference += f"@{await reproducible.push(run, image, f'{scheme}://{reference}', *login)}"
    else:
        reference = await push(run, "publish", image, registry, run.project.name, version)
    run.facts["image"] = {"reference": reference, "digest": reference.rpartition("@")[2]}
    return reference


async def push(
    run: Run,
    stage: str,
    image: dagger.Container,
    registry: Registry,
    name: str,
    version: str,
    compression: dagger.ImageLayerCompression | None = None,
) -> str:
    """Push an image as a stage of its own; return its reference by digest."""
    address = f"{registry.place}/{name}:{version}"
    if registry.username and registry.password:
        image = image.with_registry_auth(address, registry.username, registry.password)
    try:
        reference: str = await run.timed(stage, image.publish(address, forced_compression=compression))
    except StageError as error:
        reason = error.cause.rpartition(f"failed to push {address}: ")[2]
        cause = f"{address} was refused: {reason}"
        hint = "check --registry, --registry-username and --registry-password"
        run.records[-1] |= {"message": cause, "hint": hint}
        raise StageError(stage, cause, hint) from None
    return reference


async def deploy(run: Run, cluster: Cluster, image: str, version: str | None = None) -> Finished:
    """Release an image by digest; the details are the release record.

    `version` is its model's, and absent what its label says.
    """
    if "@sha256:" not in image:
        raise StageError("deploy", f"{image} names no digest", "pass the reference that publish returned")
    document = settings.deploy(run.project, image, version or await _version(image))
    return await _act(run, cluster, "deploy", "release", document)


async def _version(image: str) -> str | None:
    """Read the label; what the engine may not pull, the cluster may."""
    try:
        return await dag.container().from_(image).label(VERSION)
    except dagger.QueryError:
        return None


async def running(run: Run, cluster: Cluster) -> str | None:
    """Return the image of the last good release, by digest; None where there is none."""
    found = (await _ask(run, cluster, "baseline", "status", settings.deploy(run.project, "", None))).details
    good: str | None = found["good"][0]["image"] if found["good"] else None
    return good


async def rollback(run: Run, cluster: Cluster) -> Finished:
    """Go back to the release before; the details are the release record."""
    return await _act(run, cluster, "rollback", "rollback", settings.deploy(run.project, "", None))


async def _act(run: Run, cluster: Cluster, stage: str, action: str, document: str) -> Finished:
    finished = await _ask(run, cluster, stage, action, document)
    run.facts["release"] = finished.details
    return finished


async def _ask(run: Run, cluster: Cluster, stage: str, action: str, document: str) -> Finished:
    container, flags = await connected(run, stage, cluster, DEPLOYER, document)
    # Neither an effect nor what the cluster says is answered from the cache.
    container = container.with_env_variable("ML_CALL", str(time.time_ns()))
    return await run.stage(stage, container, "deploy", [action, *flags])


async def connected(
    run: Run, stage: str, cluster: Cluster, programs: Sequence[str], document: str
) -> tuple[dagger.Container, list[str]]:
    """Return a container that reaches the cluster, and its program's flags; `document` is the settings."""
    container = (
        run.environments.python()
        .with_(with_pins("deploy"))
        .with_(with_programs(*programs))
        .with_new_file(CONFIG, document)
        .with_mounted_secret(KUBECONFIG, cluster.kubeconfig)
    )
    flags = ["--config", CONFIG, "--kubeconfig", KUBECONFIG]
    if cluster.api:
        container = container.with_service_binding(API_ALIAS, cluster.api)
        port = await service_port(stage, cluster.api, "--kube-api")
        flags += ["--api-server", f"https://{API_ALIAS}:{port}"]
    return container, flags


def as_text(record: Finished) -> str:
    return json.dumps(record.details, indent=2)
