"""The baseline: the image that a candidate is compared with, and its record of the data it was trained on."""

from dataclasses import dataclass

import dagger
from dagger import dag

from ml_pipeline import release
from ml_pipeline.environments import MODEL
from ml_pipeline.errors import StageError
from ml_pipeline.labels import VERSION
from ml_pipeline.release import Cluster
from ml_pipeline.run import Run, last_line

SIGNATURE, RECORD = "model.json", "record.json"


@dataclass(frozen=True)
class Baseline:
    """An image that serves, or served, this model's place."""

    image: dagger.Container
    version: str | None  # of its model, where its label says
    record: dagger.File | None  # what its training data was like; images of other makers have none
    ours: bool  # it has this project's programs; others are asked over the Open Inference Protocol
    digest: str | None  # sha256:…; None where the engine does not know it
    runs: bool  # it is what the cluster runs, not what --baseline gave


async def find(run: Run, given: dagger.Container | None, cluster: Cluster | None) -> Baseline | None:
    """Return what --baseline names, or else what the cluster runs, or None; the notes say which.

    Raises StageError where the image can't be had.
    """
    notes = run.facts.setdefault("notes", [])
    if given:
        return await _opened("--baseline", given, runs=False)
    reference = await release.running(run, cluster) if cluster else None
    if not reference:
        notes.append("no baseline: the gates compare with thresholds only")
        return None
    notes.append(f"the baseline is what the cluster runs: {reference}")
    return await _opened(reference, dag.container().from_(reference), runs=True)


async def _opened(name: str, image: dagger.Container, *, runs: bool) -> Baseline:
    try:
        version = await image.label(VERSION)
    except dagger.QueryError as error:
        cause = f"{name} can't be pulled: {last_line(str(error))}"
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
