"""Publishing: an image goes to a registry, and its reference by digest comes back."""

from dataclasses import dataclass

import dagger

from ml_pipeline.common.document import Image
from ml_pipeline.engine import sources
from ml_pipeline.engine.run import Run
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import ConfigError, StageError
from ml_pipeline.publishing import reproducible
from ml_pipeline.publishing.reproducible import PUBLISH
from ml_pipeline.serving.contract import REVISION


@dataclass(frozen=True)
class Registry:
    """The registry, as HOST[:PORT][/PATH], and the login to it.

    `reproducible`: a program pushes, not the engine, whose clock would be in the image's digest.
    Raises ConfigError for a name without a password, or a password without a name.
    """

    address: str
    username: str | None = None
    password: dagger.Secret | None = None
    reproducible: bool = False

    @property
    def place(self) -> str:
        """The address without a scheme; the engine itself knows which scheme a registry speaks."""
        return self.address.removeprefix("https://").removeprefix("http://").rstrip("/")

    def __post_init__(self) -> None:
        if bool(self.username) != bool(self.password):
            cause = "--registry-username and --registry-password go together"
            raise ConfigError(cause, "pass both, or neither")


async def publish(run: Run, image: dagger.Container, registry: Registry, version: str) -> str:
    """Push the image and return its reference by digest, as HOST/NAME:VERSION@sha256:….

    The image gets the label of its commit here and not before: a commit alone must not run the gate again.
    """
    if revision := await sources.revision(run.source):
        image = image.with_label(REVISION, revision)
    if registry.reproducible:
        reference = f"{registry.place}/{run.project.name}:{version}"
        scheme = "http" if registry.address.startswith("http://") else "https"
        login = registry.username, registry.password
        reference += f"@{await reproducible.push(run, image, f'{scheme}://{reference}', *login)}"
    else:
        reference = await push(run, PUBLISH, image, registry, run.project.name, version)
    run.image = Image(reference, digest=reference.rpartition("@")[2])
    return reference


async def push(
    run: Run,
    stage: Stage,
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
        raise run.amend(StageError(stage.name, cause, hint)) from None
    return reference
