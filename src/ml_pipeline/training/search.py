"""A search over hyper-parameters: each trial is the training stage itself, with other settings.

Trials run side by side, one for each GPU, or as many as there are processors; a trial that has
ended is kept among the checkpoints, so an interrupted search goes on with those that have not.
"""

import csv
import json
import math
import os
import queue
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ml_pipeline.common.names import nearest
from ml_pipeline.common.outcome import OUTCOME_VARIABLE, StageFailure
from ml_pipeline.training import contract


@dataclass(frozen=True)
class Trial:
    """One combination, and what came of it."""

    number: int  # from 1
    parameters: dict[str, Any]
    status: str  # passed or failed
    value: float | None  # of the metric; None where the trial failed
    seconds: float
    message: str


@dataclass(frozen=True)
class Search:
    """What is tried, and by what it is judged."""

    parameters: Mapping[str, Sequence[Any]]
    metric: str
    mode: str  # min or max
    trials: int | None

    def combinations(self, seed: int) -> list[dict[str, Any]]:
        """Return the whole grid, or `trials` of it, drawn without replacement."""
        total = math.prod(len(values) for values in self.parameters.values())
        places: Sequence[int] = range(total)
        if self.trials is not None and self.trials < total:
            places = random.Random(seed).sample(places, self.trials)  # noqa: S311 - no secret
        return [self._at(place) for place in places]

    def best(self, trials: Sequence[Trial]) -> Trial:
        """Return the first of the best; StageFailure where every trial failed."""
        sign = 1 if self.mode == "min" else -1
        finite = [
            (sign * t.value, t.number, t) for t in trials if t.value is not None and math.isfinite(t.value)
        ]
        if not finite:
            cause = f"all {len(trials)} trials failed; the first: {trials[0].message or 'no finite metric'}"
            raise StageFailure(cause, "mend train.search; the trials' output is above")
        return min(finite)[2]

    def _at(self, place: int) -> dict[str, Any]:
        chosen = {}
        for name, values in reversed(list(self.parameters.items())):
            place, index = divmod(place, len(values))
            chosen[name] = values[index]
        return {name: chosen[name] for name in self.parameters}


def run(
    search: Search, settings: Mapping[str, Any], arguments: Sequence[str], given: Mapping[str, str]
) -> dict[str, Any]:
    """Run all trials, copy the best one's files to ML_OUTPUT, and return the search and that trial's details.

    `arguments` are the stage's own, `given` the contract's variables. Writes trials.csv beside the
    model. Raises `StageFailure` where no trial passed, or one has no such metric.
    """
    base = json.loads(Path(given["ML_CONFIG"]).read_text(encoding="utf-8"))
    combinations = search.combinations(int(given["ML_SEED"]))
    folder = Path(given["ML_CHECKPOINTS"]) / "trials"
    places = _places(given["ML_DEVICE"], len(combinations))
    print(f"{len(combinations)} trials, {places.qsize()} at a time", flush=True)

    def trial(number: int) -> Trial:
        parameters, own = combinations[number - 1], folder / str(number)
        if not _kept(own, base | parameters):
            place = places.get()
            try:
                _start(number, own, settings, base | parameters, arguments, {**given, **place})
            finally:
                places.put(place)
        found = _result(number, own, parameters, search.metric)
        print(f"trial {number}: {_told(found, search.metric)}", flush=True)
        return found

    with ThreadPoolExecutor(places.qsize()) as pool:
        trials = list(pool.map(trial, range(1, len(combinations) + 1)))
    best = search.best(trials)
    own, output = folder / str(best.number), Path(given["ML_OUTPUT"])
    shutil.copytree(own / "output", output, dirs_exist_ok=True)
    details = json.loads((own / "outcome.json").read_text())["details"]
    _write(trials, output / "trials.csv", search.metric)
    shutil.rmtree(folder)  # the search has ended
    table = [asdict(each) for each in trials]
    chosen = {"metric": search.metric, "mode": search.mode, "best": best.number, "trials": table}
    return {**details, "search": chosen}


def _places(device: str, trials: int) -> "queue.SimpleQueue[dict[str, str]]":
    """Variables of each place where a trial can run: a GPU of its own, or a share of the processors."""
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


def _kept(own: Path, config: dict[str, Any]) -> bool:
    """Whether the trial ran to its end, before the search was interrupted."""
    try:
        same = json.loads((own / "config.json").read_text()) == config
        return bool(same and json.loads((own / "outcome.json").read_text())["status"] == "passed")
    except (OSError, ValueError):
        return False


def _start(
    number: int,
    own: Path,
    settings: Mapping[str, Any],
    config: dict[str, Any],
    arguments: Sequence[str],
    variables: Mapping[str, str],
) -> None:
    """Run the training stage in a process of its own; what it prints is passed on, line by line."""
    own.mkdir(parents=True, exist_ok=True)
    (own / "outcome.json").unlink(missing_ok=True)
    (own / "config.json").write_text(json.dumps(config))
    (own / "settings.json").write_text(json.dumps({**settings, "search": None}))
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


def _result(number: int, own: Path, parameters: dict[str, Any], metric: str) -> Trial:
    """Read what a trial left. Raises `StageFailure` where it passed without the metric."""
    outcome = json.loads((own / "outcome.json").read_text())
    if outcome["status"] == "unfinished":
        message = "it was killed, or crashed; its output is above"
        return Trial(number, parameters, "failed", None, 0.0, message)
    if outcome["status"] != "passed":
        return Trial(number, parameters, "failed", None, outcome["seconds"], outcome["message"])
    metrics = contract.read_metrics(own / "output") if (own / "output" / "metrics.json").exists() else {}
    if metric not in metrics:
        raise StageFailure(
            f"train.search.metric is {metric!r}, which training did not write into metrics.json",
            nearest(metric, metrics),
        )
    return Trial(number, parameters, "passed", metrics[metric], outcome["seconds"], "")


def _told(trial: Trial, metric: str) -> str:
    settings = ", ".join(f"{name} = {value}" for name, value in trial.parameters.items())
    found = f"{metric} {trial.value:.6g}" if trial.value is not None else f"failed: {trial.message}"
    return f"{settings}: {found}"


def _write(trials: list[Trial], path: Path, metric: str) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", *trials[0].parameters, "status", metric, "seconds"])
        for each in trials:
            values = each.parameters.values()
            writer.writerow([each.number, *values, each.status, each.value, f"{each.seconds:.3f}"])
