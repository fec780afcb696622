"""Which device a run has: asked of the engine, once per session."""

import dagger
from dagger import dag

from ml_pipeline.engine.run import Run


async def choose_device(run: Run) -> str:
    """Return "cuda" or "cpu"; auto asks the engine.

    on does not ask: training itself then says what it lacks.
    """
    if run.environments.gpu != "auto":
        return "cuda" if run.environments.gpu == "on" else "cpu"
    probe = (
        dag.container()
        .from_(run.environments.training_image)
        .experimental_with_all_gp_us()
        .with_exec(["nvidia-smi", "--list-gpus"])
    )
    try:
        has_gpu = "GPU" in await probe.stdout()
    except dagger.QueryError:  # no support in the engine, no driver on its machine, or no device
        has_gpu = False
    return "cuda" if has_gpu else "cpu"
