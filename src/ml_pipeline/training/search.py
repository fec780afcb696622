"""A search over hyperparameters: each trial is the training stage itself, with other settings.

Trials run in parallel, as many as there are GPUs, or else processors. Each has a copy of the project's
folder, because a command may write files beside its code that another trial would read. Finished trials are
kept in the folder of checkpoints, so an interrupted search continues with the trials that are left.
"""

import contextlib
import csv
import json
import math
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypedDict

from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import OUTCOME_VARIABLE, StageFailure
from ml_pipeline.training import contract
from ml_pipeline.training.details import Details, SearchDetails
from ml_pipeline.training.settings import Search, Settings


@dataclass(frozen=True)
class Trial:
    """One combination of parameters, and its result."""

    number: int  # from 1
    parameters: Mapping[str, object]
    status: str  # passed or failed
    value: float | None  # of the metric; None if the trial failed
    seconds: float
    message: str


class Outcome(TypedDict):
    """The keys of a trial's outcome that the search reads; a trial that crashed has only a status."""

    status: str
    seconds: float
    message: str
    details: Details


def combinations(search: Search, seed: int) -> list[dict[str, object]]:
    """Return all combinations, or `search.trials` of them, drawn without replacement."""
    total = math.prod(len(values) for values in search.parameters.values())
    places: Sequence[int] = range(min(total, sys.maxsize))
    if search.trials is not None and search.trials < total:
        draw = random.Random(seed)  # noqa: S311 - no secret
        places = draw.sample(places, search.trials)
    return [_combination(search.parameters, place) for place in places]


def best_of(trials: Sequence[Trial], mode: str) -> Trial:
    """Return the best trial, the first of several such. Raises StageFailure if every trial failed."""
    sign = 1 if mode == "min" else -1
    finite = [(sign * t.value, t.number, t) for t in trials if t.value is not None and math.isfinite(t.value)]
    if not finite:
        reason = trials[0].message or "its metric was not finite"
        cause = f"all {len(trials)} trials failed; the first: {reason}"
        raise StageFailure(cause, "correct train.search; the trials' output is above")
    return min(finite)[2]


def run(
    search: Search, settings: Settings, command: str | None, workdir: Path, variables: Mapping[str, str]
) -> Details:
    """Run all trials, copy the best one's files to ML_OUTPUT, and return its details with the search's.

    `command` and `workdir` are those of the stage, `variables` the contract's. Writes trials.csv beside the
    model. Raises StageFailure if no trial passed and wrote the metric.
    """
    base = json.loads(Path(variables["ML_CONFIG"]).read_text(encoding="utf-8"))
    drawn = combinations(search, int(variables["ML_SEED"]))
    folder = Path(variables["ML_CHECKPOINTS"]) / "trials"
    places = _places(variables["ML_DEVICE"], len(drawn))
    print(f"{len(drawn)} trials, {places.qsize()} at a time", flush=True)

    def run_trial(number: int) -> Trial:
        parameters, own = drawn[number - 1], folder / str(number)
        config = base | parameters
        if not _finished(own, config):
            place = places.get()
            try:
                with _copy(command, workdir, variables) as arguments:
                    _start(number, own, settings, config, arguments, {**variables, **place})
            finally:
                places.put(place)
        trial = _result(number, own, parameters, search.metric)
        print(f"trial {number}: {_line(trial, search.metric)}", flush=True)
        return trial

    with ThreadPoolExecutor(places.qsize()) as pool:
        trials = list(pool.map(run_trial, range(1, len(drawn) + 1)))
    best = best_of(trials, search.mode)
    own, output = folder / str(best.number), Path(variables["ML_OUTPUT"])
    shutil.copytree(own / "output", output, dirs_exist_ok=True)
    details = _outcome(own)["details"]
    _write(trials, output / "trials.csv", search.metric)
    shutil.rmtree(folder)  # the search has ended
    table: SearchDetails = {
        "metric": search.metric,
        "mode": search.mode,
        "best": best.number,
        "trials": [asdict(trial) for trial in trials],
    }
    return {**details, "search": table}


def _combination(parameters: Mapping[str, Sequence[object]], place: int) -> dict[str, object]:
    """Return the combination at a place in the grid, where the last parameter changes first."""
    values = {}
    for name, choices in reversed(list(parameters.items())):
        place, index = divmod(place, len(choices))
        values[name] = choices[index]
    return {name: values[name] for name in parameters}


def _places(device: str, trials: int) -> "queue.SimpleQueue[dict[str, str]]":
    """Return the variables of each place for a trial: a GPU of its own, or a share of the processors."""
    processors = len(os.sched_getaffinity(0))
    places: list[dict[str, str]] = []
    if device == "cuda":
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(index) for index in range(len(contract.gpus()))]
        places = [{"CUDA_VISIBLE_DEVICES": name} for name in names[:trials]]
    else:
        count = min(trials, processors)
        places = [{"OMP_NUM_THREADS": str(processors // count)}] * count
    free: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
    for place in places:
        free.put(place)
    return free


@contextlib.contextmanager
def _copy(command: str | None, workdir: Path, variables: Mapping[str, str]) -> Iterator[list[str]]:
    """Copy the project's folder for one trial; yield the stage's arguments with the copy."""
    if not command or not workdir.is_dir():
        yield ["--command", command, "--workdir", str(workdir)] if command else []
        return
    others = {variables["ML_OUTPUT"], variables["ML_CHECKPOINTS"]}

    def other(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if str(Path(folder, name).absolute()) in others]

    with tempfile.TemporaryDirectory(prefix="trial-", ignore_cleanup_errors=True) as scratch:
        copied = shutil.copytree(workdir, Path(scratch, workdir.absolute().name), symlinks=True, ignore=other)
        yield ["--command", command, "--workdir", str(copied)]


def _outcome(own: Path) -> Outcome:
    outcome: Outcome = json.loads((own / "outcome.json").read_text())
    return outcome


def _finished(own: Path, config: Mapping[str, object]) -> bool:
    """Return whether the trial passed before the search was interrupted."""
    try:
        same = json.loads((own / "config.json").read_text()) == config
        return bool(same and _outcome(own)["status"] == "passed")
    except (OSError, ValueError):
        return False


def _start(
    number: int,
    own: Path,
    settings: Settings,
    config: Mapping[str, object],
    arguments: Sequence[str],
    variables: Mapping[str, str],
) -> None:
    """Run the training stage in a process of its own, and pass its output on line by line."""
    own.mkdir(parents=True, exist_ok=True)
    (own / "outcome.json").unlink(missing_ok=True)
    (own / "config.json").write_text(json.dumps(config))
    (own / "settings.json").write_text(json.dumps(asdict(replace(settings, search=None))))
    paths = {
        "ML_CONFIG": own / "config.json",
        "ML_OUTPUT": own / "output",
        "ML_CHECKPOINTS": own / "checkpoints",
        OUTCOME_VARIABLE: own / "outcome.json",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "ml_pipeline.training.train", "--config", own / "settings.json", *arguments],
        env={**os.environ, **variables, **{name: str(path) for name, path in paths.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None  # noqa: S101
        for line in process.stdout:
            print(f"trial {number}: {line}", end="", flush=True)


def _result(number: int, own: Path, parameters: Mapping[str, object], metric: str) -> Trial:
    """Return a trial's result; one that did not write the metric has failed."""
    outcome = _outcome(own)
    if outcome["status"] == "unfinished":
        message = "it crashed or was killed; its output is above"
        return Trial(number, parameters, "failed", None, 0.0, message)

    def failed(message: str) -> Trial:
        return Trial(number, parameters, "failed", None, outcome["seconds"], message)

    if outcome["status"] != "passed":
        return failed(outcome["message"])
    metrics = contract.read_metrics(own / "output") if (own / "output" / "metrics.json").exists() else {}
    if metric not in metrics:
        cause = f"train.search.metric is {metric!r}, which is not in the trial's metrics.json"
        return failed(f"{cause}; {nearest(metric, metrics)}")
    return Trial(number, parameters, "passed", metrics[metric], outcome["seconds"], "")


def _line(trial: Trial, metric: str) -> str:
    parameters = ", ".join(f"{name} = {value}" for name, value in trial.parameters.items())
    result = f"{metric} {trial.value:.6g}" if trial.value is not None else f"failed: {trial.message}"
    return f"{parameters}: {result}"


def _write(trials: list[Trial], path: Path, metric: str) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", *trials[0].parameters, "status", metric, "seconds"])
        for each in trials:
            values = each.parameters.values()
            writer.writerow([each.number, *values, each.status, each.value, f"{each.seconds:.3f}"])
