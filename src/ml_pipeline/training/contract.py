"""What training is given and what it must leave: the contract with a project's command."""

import importlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ml_pipeline.common.outcome import StageFailure

WANTED = ("model.onnx", "predictor.py", "metrics.json")


def variables(settings: dict[str, Any], scratch: Path) -> dict[str, str]:
    """Return the six, from the environment or from the settings; paths absolute, as a command runs elsewhere.

    Raises `StageFailure`.
    """
    given = {name: os.environ.get(name, "") for name in ("ML_DATA", "ML_OUTPUT")}
    for name, value in given.items():
        if not value:
            raise StageFailure(f"{name} is not set", "see python -m ml_pipeline.training.train --help")
    if not Path(given["ML_DATA"]).is_file():
        raise StageFailure(f"{given['ML_DATA']} is not there", "name the training rows by ML_DATA")
    Path(given["ML_OUTPUT"]).mkdir(parents=True, exist_ok=True)
    config, checkpoints = scratch / "config.json", scratch / "checkpoints"
    config.write_text(json.dumps(settings.get("config") or {}))
    checkpoints.mkdir()
    defaults = {
        "ML_CONFIG": str(config),
        "ML_SEED": str(settings.get("seed", 0)),
        "ML_DEVICE": str(settings.get("device", "cpu")),
        "ML_CHECKPOINTS": str(checkpoints),
    }
    found = given | {name: os.environ.get(name) or value for name, value in defaults.items()}
    paths = ("ML_DATA", "ML_OUTPUT", "ML_CONFIG", "ML_CHECKPOINTS")
    return found | {name: str(Path(found[name]).absolute()) for name in paths}


def choose_device(wanted: str, required: bool) -> str:
    """Return "cpu" or "cuda"; a GPU that is not there is a failure only where it is required."""
    if wanted not in {"cpu", "cuda"}:
        raise StageFailure(f"ML_DEVICE is {wanted!r}", "set it to cpu or cuda")
    if wanted == "cpu" and not required:
        return "cpu"
    if gpus():
        return "cuda"
    if required:
        raise StageFailure(
            "a GPU was asked for (--gpu=on), but the container sees no CUDA device",
            "run the engine with GPU support on a machine that has one, or pass --gpu=off",
        )
    print("the container sees no CUDA device: training on the CPU", flush=True)
    return "cpu"


def gpus() -> list[str]:
    """Return the names of the CUDA devices that this process may use."""
    try:
        torch: Any = importlib.import_module("torch")
    except (ImportError, OSError):  # OSError: a library of its own that can't be loaded
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
    """Return the names of what was written; StageFailure where it can be neither served nor gated."""
    wrote = sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())
    if not set(WANTED) & set(wrote):
        others = f" (only {', '.join(wrote[:5])})" if wrote else ""
        raise StageFailure(
            f"wrote neither model.onnx, predictor.py nor metrics.json into ML_OUTPUT{others}",
            "let the training write one of them into the folder that ML_OUTPUT names",
        )
    if "metrics.json" in wrote:
        read_metrics(output)
    return wrote


def read_metrics(output: Path) -> dict[str, float]:
    """Return metrics.json, which must be numbers by name. Raises `StageFailure`."""
    hint = 'write an object of numbers, such as {"accuracy": 0.9}'
    try:
        metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise StageFailure(f"metrics.json is not JSON: {error}", hint) from None
    if not isinstance(metrics, dict):
        raise StageFailure("metrics.json is not an object", hint)
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise StageFailure(f"metrics.json has {name!r} = {json.dumps(value)[:60]}", hint)
    return metrics
