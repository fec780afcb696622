"""The contract with a training command: its variables, and the files that it must write."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training.settings import Settings

# Training must write one of these.
RESULTS = ("model.onnx", "predictor.py", "metrics.json")


def variables(settings: Settings, scratch: Path) -> dict[str, str]:
    """Return the six variables, from the environment or else from the settings.

    Paths are absolute, because a command runs in another folder. Raises StageFailure.
    """
    required = {name: os.environ.get(name, "") for name in ("ML_DATA", "ML_OUTPUT")}
    for name, value in required.items():
        if not value:
            raise StageFailure(f"{name} is not set", "see python -m ml_pipeline.training.train --help")
    if not Path(required["ML_DATA"]).is_file():
        cause = f"ML_DATA is {required['ML_DATA']}, which is not a file"
        raise StageFailure(cause, "set ML_DATA to the Parquet file of the training rows")
    Path(required["ML_OUTPUT"]).mkdir(parents=True, exist_ok=True)
    config, checkpoints = scratch / "config.json", scratch / "checkpoints"
    config.write_text(json.dumps(settings.config))
    checkpoints.mkdir()
    defaults = {
        "ML_CONFIG": str(config),
        "ML_SEED": str(settings.seed),
        "ML_DEVICE": settings.device,
        "ML_CHECKPOINTS": str(checkpoints),
    }
    every = required | {name: os.environ.get(name) or value for name, value in defaults.items()}
    paths = ("ML_DATA", "ML_OUTPUT", "ML_CONFIG", "ML_CHECKPOINTS")
    return every | {name: str(Path(every[name]).absolute()) for name in paths}


def choose_device(device: str, required: bool) -> str:
    """Return "cpu" or "cuda". Raises StageFailure if a GPU is required and there is none."""
    if device not in {"cpu", "cuda"}:
        raise StageFailure(f"ML_DEVICE is {device!r}", "set it to cpu or cuda")
    if device == "cpu" and not required:
        return "cpu"
    if gpus():
        return "cuda"
    if required:
        raise StageFailure(
            "a GPU is required (--gpu=on), but the container has no CUDA device",
            "run the engine with GPU support on a machine that has a GPU, or pass --gpu=off",
        )
    print("the container has no CUDA device: training on the CPU", flush=True)
    return "cpu"


def gpus() -> list[str]:
    """Return the names of the CUDA devices that this process may use."""
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError):  # OSError: one of torch's libraries can't be loaded
        listing = shutil.which("nvidia-smi")
        if listing:
            listed = subprocess.run([listing, "--list-gpus"], check=False, capture_output=True, text=True)
            lines = listed.stdout.splitlines() if listed.returncode == 0 else []
            # GPU 0: NVIDIA H200 (UUID: GPU-6be7c66e-…)
            return [line.partition(": ")[2].partition(" (UUID")[0] or line for line in lines]
        return ["a GPU"] if Path("/dev/nvidia0").exists() else []
    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def check_output(output: Path) -> list[str]:
    """Return the names of the files that training wrote. Raises StageFailure if none of them is a result."""
    names = sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())
    if not set(RESULTS) & set(names):
        others = f" (only {', '.join(names[:5])})" if names else ""
        raise StageFailure(
            f"wrote neither model.onnx, predictor.py nor metrics.json into ML_OUTPUT{others}",
            "change the training so that it writes one of them into the folder ML_OUTPUT",
        )
    if "metrics.json" in names:
        read_metrics(output)
    return names


def read_metrics(output: Path) -> dict[str, float]:
    """Return metrics.json, an object of numbers. Raises StageFailure."""
    hint = 'write an object of numbers, such as {"accuracy": 0.9}'
    try:
        metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise StageFailure(f"metrics.json is not JSON: {error}", hint) from None
    if not isinstance(metrics, dict):
        raise StageFailure("metrics.json is not an object", hint)
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            cause = f"metrics.json has {name!r} = {json.dumps(value)[:60]}, which is not a number"
            raise StageFailure(cause, hint)
        if isinstance(value, int) and abs(value) > sys.float_info.max:
            digits = len(str(abs(value)))
            raise StageFailure(f"metrics.json has a number of {digits} digits for {name!r}", hint)
    return metrics
