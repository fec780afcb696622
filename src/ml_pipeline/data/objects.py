"""Tables in object storage: each call lists them, and downloads the objects that changed."""

import dagger
from dagger import CacheSharingMode, dag

from ml_pipeline.engine.environments import with_pins, with_programs
from ml_pipeline.engine.paths import OUTPUT
from ml_pipeline.engine.run import Run
from ml_pipeline.engine.stage import Stage
from ml_pipeline.errors import StageError

FOLDER = "s3:"  # under which the objects are, each by its bucket and key
LISTING, KEPT = "/listing.json", "/kept"
LIST = Stage("list-data", "ml_pipeline.data.fetch", ("data.path and the like",), ("listing.json",))
FETCH = Stage("fetch-data", "ml_pipeline.data.fetch", ("listing.json",), (FOLDER,))


async def objects(run: Run) -> dagger.Directory:
    """Return BUCKET/KEY of each object that the project's URLs name, the same for every stage of a run.

    Raises StageError.
    """
    if run.objects is None:
        try:
            run.objects = await _fetched(run)
        except StageError as failure:
            run.objects = failure
    if isinstance(run.objects, StageError):
        raise run.objects
    return run.objects


async def _fetched(run: Run) -> dagger.Directory:
    container = (
        run.environments.python()
        .with_(with_pins("storage"))
        .with_(with_programs(FETCH.program))
        .with_(run.environments.with_data_credentials)
    )
    urls = sorted({*run.project.data.urls})
    # A listing is of now: without this, the engine would take that of an earlier call from its cache.
    uncached = container.with_env_variable("ML_LISTED", str(run.started))
    arguments = ["list", "--output", OUTPUT, *(word for url in urls for word in ("--url", url))]
    listing = (await run.stage(LIST, uncached, arguments)).output
    # Objects are kept in a volume: after a change only the changed ones are downloaded.
    volume = dag.cache_volume(f"ml-pipeline-objects-{run.project.name}")
    container = container.with_new_file(LISTING, await listing.file("listing.json").contents())
    container = container.with_mounted_cache(KEPT, volume, sharing=CacheSharingMode.LOCKED)
    arguments = ["fetch", "--listing", LISTING, "--kept", KEPT, "--output", OUTPUT]
    return (await run.stage(FETCH, container, arguments)).output.directory(FOLDER)
