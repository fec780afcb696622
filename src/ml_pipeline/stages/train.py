"""Train: the project's own command, or the built-in trainer for tabular data.

    ML_DATA=train.parquet ML_OUTPUT=out python -m ml_pipeline.stages.train --config settings.json
    … --command "python -m mymodel.train" --workdir PROJECT

Variables: ML_DATA, the Parquet file of training rows; ML_OUTPUT, the folder to write to. These
have defaults: ML_CONFIG, a JSON file (`config` in the settings), ML_SEED and ML_DEVICE (`seed` and
`device` in the settings), ML_CHECKPOINTS (a temporary folder). A command is given all six. It
writes model.onnx, or predictor.py, or metrics.json alone where nothing is to be served.
"""

import argparse
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_pipeline.stages.outcome import OUTCOME_VARIABLE, StageFailure, run_stage

WANTED = ("model.onnx", "predictor.py", "metrics.json")
NOT_FOUND, KILLED = 127, 128 + signal.SIGKILL  # as a shell tells them
LINE = 300  # characters of a command's last line that a message shows


def train(
    settings: dict[str, Any], command: str | None, workdir: Path, gpu_required: bool, scratch: Path
) -> dict[str, Any]:
    """Train into ML_OUTPUT; return what came of it. Raises `StageFailure`."""
    variables = _variables(settings, scratch)
    output = Path(variables["ML_OUTPUT"])
    output.mkdir(parents=True, exist_ok=True)
    if not Path(variables["ML_DATA"]).is_file():
        raise StageFailure(f"{variables['ML_DATA']} is not there", "name the training rows by ML_DATA")
    variables["ML_DEVICE"] = device = choose_device(variables["ML_DEVICE"], gpu_required)
    if command:
        run_command(command, workdir, variables)
        details: dict[str, Any] = {"trainer": "command"}
    else:
        details = {"trainer": "built-in", **_built_in(settings, variables)}
    return {"device": device, "wrote": check_output(output)} | details


def choose_device(wanted: str, required: bool) -> str:
    """Return "cpu" or "cuda"; a GPU that is not there is a failure only where it is required."""
    if wanted not in {"cpu", "cuda"}:
        raise StageFailure(f"ML_DEVICE is {wanted!r}", "set it to cpu or cuda")
    if wanted == "cpu" and not required:
        return "cpu"
    if _sees_cuda():
        return "cuda"
    if required:
        raise StageFailure(
            "a GPU was asked for (--gpu=on), but the container sees no CUDA device",
            "run the engine with GPU support on a machine that has one, or pass --gpu=off",
        )
    print("the container sees no CUDA device: training on the CPU", flush=True)
    return "cpu"


def run_command(command: str, workdir: Path, variables: dict[str, str]) -> None:
    """Run a shell command in `workdir`, its output passed on as it comes. Raises `StageFailure`."""
    if not workdir.is_dir():
        raise StageFailure(f"the project's folder {workdir} is not there", "name it by --workdir")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **variables}
    environment.pop(OUTCOME_VARIABLE, None)  # that document is this stage's own
    # The project's packages, installed or not, are importable as they are on its author's machine.
    environment["PYTHONPATH"] = f"{workdir / 'src'}:{workdir}"
    last: deque[str] = deque(maxlen=1)
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=workdir,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        assert process.stderr is not None  # noqa: S101
        for line in process.stderr:
            sys.stderr.write(line)
            if line.strip():
                last.append(line.strip()[:LINE])
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    said = f"it ended with: {last[0]}" if last else "it wrote nothing to stderr"
    if code == KILLED:
        raise StageFailure(
            f"the training command ran out of memory or was killed (exit {KILLED}); {said}",
            "give the engine more memory, or train on less at once",
        )
    if code == NOT_FOUND:
        raise StageFailure(
            f"the training command was not found (exit {NOT_FOUND}); {said}",
            "check train.command, and that the project's requirements install it",
        )
    if code:
        raise StageFailure(
            f"the training command exited with {code}; {said}", "mend train.command; its output is above"
        )


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
        hint = 'write an object of numbers, such as {"accuracy": 0.9}'
        try:
            metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise StageFailure(f"metrics.json is not JSON: {error}", hint) from None
        if not isinstance(metrics, dict):
            raise StageFailure("metrics.json is not an object", hint)
        for name, value in metrics.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise StageFailure(f"metrics.json has {name!r} = {json.dumps(value)[:60]}", hint)
    return wrote


def _variables(settings: dict[str, Any], scratch: Path) -> dict[str, str]:
    """The contract's six variables, from the environment or from the settings."""
    given = {name: os.environ.get(name, "") for name in ("ML_DATA", "ML_OUTPUT")}
    for name, value in given.items():
        if not value:
            raise StageFailure(f"{name} is not set", "see python -m ml_pipeline.stages.train --help")
    config, checkpoints = scratch / "config.json", scratch / "checkpoints"
    config.write_text(json.dumps(settings.get("config") or {}))
    checkpoints.mkdir()
    defaults = {
        "ML_CONFIG": str(config),
        "ML_SEED": str(settings.get("seed", 0)),
        "ML_DEVICE": str(settings.get("device", "cpu")),
        "ML_CHECKPOINTS": str(checkpoints),
    }
    return given | {name: os.environ.get(name) or value for name, value in defaults.items()}


def _built_in(settings: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
    # Threads that wait by spinning make training several times slower where processors are shared.
    # OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Imported here: where the project's own command trains, torch and polars need not be installed.
    trainer = importlib.import_module("ml_pipeline.stages.tabular.fit")
    try:
        config = json.loads(Path(variables["ML_CONFIG"]).read_text(encoding="utf-8"))
        seed = int(variables["ML_SEED"])
    except (OSError, ValueError) as error:
        raise StageFailure(
            f"ML_CONFIG or ML_SEED can't be read: {error}", "name a JSON file and a whole number"
        ) from None
    try:
        details: dict[str, Any] = trainer.train_file(
            Path(variables["ML_DATA"]),
            settings,
            config,
            Path(variables["ML_OUTPUT"]),
            seed,
            variables["ML_DEVICE"],
        )
    except (MemoryError, RuntimeError) as error:  # torch has no class of its own for it on the CPU
        if isinstance(error, MemoryError) or "memory" in str(error):
            cause = f"training ran out of memory on {variables['ML_DEVICE']}"
            raise StageFailure(
                cause, "lower train.config.batch_size, or give the engine more memory"
            ) from error
        raise
    return details


def _sees_cuda() -> bool:
    try:
        torch: Any = importlib.import_module("torch")
    except (ImportError, OSError):  # OSError: a library of its own that can't be loaded
        listing = shutil.which("nvidia-smi")
        if listing:
            return subprocess.run([listing, "--list-gpus"], check=False, capture_output=True).returncode == 0
        return Path("/dev/nvidia0").exists()
    return bool(torch.cuda.is_available())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the training stage on the command line's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m ml_pipeline.stages.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, help="the train stage's settings, JSON")
    parser.add_argument("--command", help="what trains instead of the built-in trainer; run by sh")
    parser.add_argument("--workdir", type=Path, default=Path(), help="the project's folder (this one)")
    parser.add_argument("--gpu", choices=("auto", "required"), default="auto", help="required: fail without")
    options = parser.parse_args(arguments)

    def body() -> dict[str, Any]:
        settings = json.loads(options.config.read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as scratch:
            return train(settings, options.command, options.workdir, options.gpu == "required", Path(scratch))

    run_stage("train", body)


if __name__ == "__main__":
    main()
