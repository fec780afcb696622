"""The built-in trainer, as the contract's variables tell it; its libraries are loaded when it is called."""

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_pipeline.common.outcome import StageFailure


def train(settings: dict[str, Any], variables: Mapping[str, str], world: Any = None) -> dict[str, Any]:
    """Train into ML_OUTPUT, as one of the processes of a `tabular.world.World`, or alone.

    Returns what came of it. Raises `StageFailure`.
    """
    # Threads that wait by spinning make training several times slower where processors are shared.
    # OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Imported here: where the project's own command trains, torch and polars need not be installed.
    trainer = importlib.import_module("ml_pipeline.training.tabular.fit")
    try:
        config = json.loads(Path(variables["ML_CONFIG"]).read_text(encoding="utf-8"))
        seed = int(variables["ML_SEED"])
    except (OSError, ValueError) as error:
        raise StageFailure(
            f"ML_CONFIG or ML_SEED can't be read: {error}", "name a JSON file and a whole number"
        ) from None
    device, checkpoints = variables["ML_DEVICE"], Path(variables["ML_CHECKPOINTS"])
    place = trainer.Place(seed, device, checkpoints, world or trainer.ALONE)
    data, output = Path(variables["ML_DATA"]), Path(variables["ML_OUTPUT"])
    try:
        details: dict[str, Any] = trainer.train_file(data, settings, config, output, place)
    except (MemoryError, RuntimeError) as error:
        if trainer.out_of_memory(error):
            cause = f"training ran out of memory on {device}"
            raise StageFailure(
                cause, "lower train.config.batch_size, or give the engine more memory"
            ) from error
        raise
    return details
