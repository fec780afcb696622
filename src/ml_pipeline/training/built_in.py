"""Starts the built-in trainer with the contract's variables; it loads its libraries only then."""

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training.details import BuiltInDetails
from ml_pipeline.training.settings import Settings

if TYPE_CHECKING:
    from ml_pipeline.training.tabular.world import World


def train(settings: Settings, variables: Mapping[str, str], world: "World | None" = None) -> BuiltInDetails:
    """Train into ML_OUTPUT, alone or as one of the processes of `world`; return the details.

    Raises StageFailure.
    """
    # Threads that spin while they wait make training several times slower on shared processors.
    # OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Imported here: for a project's own command, torch and polars need not be installed.
    trainer = importlib.import_module("ml_pipeline.training.tabular.fit")
    try:
        config = json.loads(Path(variables["ML_CONFIG"]).read_text(encoding="utf-8"))
        seed = int(variables["ML_SEED"])
    except (OSError, ValueError) as error:
        raise StageFailure(
            f"ML_CONFIG or ML_SEED can't be read: {error}", "set them to a JSON file and a whole number"
        ) from None
    device, checkpoints = variables["ML_DEVICE"], Path(variables["ML_CHECKPOINTS"])
    place = trainer.Place(seed, device, checkpoints, world or trainer.ALONE)
    data, output = Path(variables["ML_DATA"]), Path(variables["ML_OUTPUT"])
    try:
        details: BuiltInDetails = trainer.train_file(
            data, settings.target, settings.task, config, output, place
        )
    except (MemoryError, RuntimeError) as error:
        if trainer.out_of_memory(error):
            cause = f"training ran out of memory on {device}"
            raise StageFailure(
                cause, "lower train.config.batch_size, or give the engine more memory"
            ) from error
        raise
    return details
