"""The baseline: the image that a candidate is compared with, and its record of the data it was trained on."""

from dataclasses import dataclass

import dagger

from ml_pipeline.engine import crashes
from ml_pipeline.errors import StageError
from ml_pipeline.serving.contract import MODEL, RECORD, SIGNATURE, VERSION


@dataclass(frozen=True)
class Baseline:
    """An image that serves, or served, this model's place."""

    image: dagger.Container
    version: str | None  # of its model, where its label says
    record: dagger.File | None  # what its training data was like; images of other makers have none
    ours: bool  # it has this project's programs; others are asked over the Open Inference Protocol
    digest: str | None  # sha256:…; None where the engine does not know it
    runs: bool  # it is what the cluster runs, not what --baseline gave


async def opened(name: str, image: dagger.Container, *, runs: bool) -> Baseline:
    """Look into an image, which messages call `name`. Raises StageError where it can't be pulled."""
    try:
        version = await image.label(VERSION)
    except dagger.QueryError as error:
        cause = f"{name} can't be pulled: {crashes.reason(error)}"
        hint = "pass --baseline=REF of an image that this engine can pull"
        raise StageError("baseline", cause, hint) from None
    try:
        files = await image.directory(MODEL).entries()
    except dagger.QueryError:
        files = []
    try:
        digest = (await image.image_ref()).partition("@")[2] or None
    except dagger.QueryError:  # it was changed after it was pulled
        digest = None
    record = image.file(f"{MODEL}/{RECORD}") if RECORD in files else None
    return Baseline(image, version, record, SIGNATURE in files, digest, runs)
