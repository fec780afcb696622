"""What the built-in trainer's loop costs, beside the arithmetic alone and beside other trainers.

    make .venv-benchmarks && .venv-benchmarks/bin/python benchmarks/training.py           some minutes
    make .venv-benchmarks && .venv-benchmarks/bin/python benchmarks/training.py --quick   under 50 s

All of it on the example, UCI Adult, a fifth of which is kept back; the sides take turns.

- pure compute: as many steps of the same network and optimizer on one batch that is there already
- DataLoader: the same network, optimizer and batches, the rows from a TensorDataset, shuffled; of the
  default network, and of a light one (a single perceptron, 64 wide), whose arithmetic hides less of it
- time to 0.85: seconds until the rows kept back are answered with that accuracy, preparation of the data
  included, scoring not; scikit-learn's MLPClassifier goes epoch by epoch (partial_fit), its
  HistGradientBoosting ten trees at a time (warm_start), PyTorch Tabular's CategoryEmbeddingModel epoch by
  epoch (on the CPU, not with --quick)
- peak memory: of a process that trains for one epoch, torch included
- growth: seconds per million rows of 10 columns (not with --quick)

The last line is one JSON object. `vs_…` is how many times as fast ours is; `of_pure_compute` is its share
of that rate; `accuracy` is of the rows kept back, at the default settings (with --quick, when 0.85 is
reached). `device` says where it ran: with CUDA there, the first two are measured on the GPU.
"""

import argparse
import contextlib
import importlib
import io
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from quality import TARGET, Reach, ours, score
from rates import DEVICE, halves, rates
from rounds import ratio, say
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ml_pipeline.training.tabular import columns, fit, loop, options
from ml_pipeline.training.tabular.network import Network
from ml_pipeline.training.tabular.prepare import prepare
from ml_pipeline.training.tabular.scoring import predict


def reach_ours(kept: pl.DataFrame, held: pl.DataFrame) -> Reach:
    """Epoch by epoch, with the settings and the schedule that it has by itself."""
    chosen = options.Options()
    clock = time.perf_counter()
    prepared = prepare(kept, "target", "classification", chosen, 0, DEVICE)
    torch.manual_seed(0)
    network = Network(prepared.columns, prepared.outputs, chosen).to(DEVICE)
    run = loop.Loop(network, prepared.training, chosen)
    seconds = time.perf_counter() - clock
    encoded = columns.encode(prepared.columns, held)
    inputs = tuple(torch.from_numpy(p).to(DEVICE) for p in (encoded.numeric, encoded.missing, encoded.codes))
    classes = np.array(prepared.learned.classes)
    for _ in range(run.epochs):
        clock = time.perf_counter()
        run.train_epoch()
        seconds += time.perf_counter() - clock
        answers = classes[predict(network, inputs).argmax(1).cpu().numpy()]
        if (found := score(answers, held["target"].to_numpy(), "classification")) >= TARGET:
            return seconds, found
    sys.exit(f"ours did not reach {TARGET} %")


def reach_perceptron(kept: pl.DataFrame, held: pl.DataFrame) -> Reach:
    texts = [name for name, kind in kept.schema.items() if kind == pl.String and name != "target"]
    numbers = [name for name in kept.columns if name not in [*texts, "target"]]
    shaped = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), texts), (StandardScaler(), numbers)
    )
    clock = time.perf_counter()
    x, y = shaped.fit_transform(kept.drop("target").to_pandas()), kept["target"].to_numpy()
    seconds = time.perf_counter() - clock
    model, others = MLPClassifier(random_state=0), shaped.transform(held.drop("target").to_pandas())

    def train() -> None:
        model.partial_fit(x, y, classes=np.unique(y))

    return _reach(seconds, train, lambda: model.predict(others), held)


def reach_boosting(kept: pl.DataFrame, held: pl.DataFrame) -> Reach:
    texts = [name for name, kind in kept.schema.items() if kind == pl.String and name != "target"]
    clock = time.perf_counter()
    x = kept.drop("target").to_pandas().astype(dict.fromkeys(texts, "category"))
    y = kept["target"].to_numpy()
    seconds = time.perf_counter() - clock
    others = held.drop("target").to_pandas().astype(dict.fromkeys(texts, "category"))
    model = HistGradientBoostingClassifier(
        max_iter=0, warm_start=True, random_state=0, early_stopping=False, categorical_features="from_dtype"
    )

    def train() -> None:
        model.set_params(max_iter=model.max_iter + 10).fit(x, y)

    return _reach(seconds, train, lambda: model.predict(others), held)


def _reach(seconds: float, train: Callable[[], None], answer: Callable[[], Any], held: pl.DataFrame) -> Reach:
    found = 0.0
    for _ in range(50):
        clock = time.perf_counter()
        train()
        seconds += time.perf_counter() - clock
        found = score(answer(), held["target"].to_numpy(), "classification")
        if found >= TARGET:
            return seconds, found
    return float("nan"), found


def times(kept: pl.DataFrame, held: pl.DataFrame, rounds: int, *, quick: bool) -> dict[str, Any]:
    print(f"time to {TARGET:g} % of the rows kept back")
    reached: dict[str, list[Reach]] = {}
    sides = [reach_ours, reach_perceptron, reach_boosting]
    if not quick:  # imported now only: with Lightning loaded, loops over small tensors go at another rate
        sides.append(importlib.import_module("rivals.by_pytorch_tabular").reach_pytorch_tabular)
    for _ in range(rounds):
        for side in sides:
            reached.setdefault(side.__name__, []).append(side(kept, held))
    seconds = {name: [second for second, _ in found] for name, found in reached.items()}
    mine = seconds["reach_ours"]
    found = {
        "vs_sklearn_mlp": say("times as fast as MLPClassifier", ratio(seconds["reach_perceptron"], mine)),
        "vs_hist_gradient_boosting": say(
            "times as fast as HistGradientBoosting", ratio(seconds["reach_boosting"], mine)
        ),
        "accuracy": round(reached["reach_ours"][0][1] / 100, 4),
    }
    if not quick:
        tabular = ratio(seconds["reach_pytorch_tabular"], mine)
        found["vs_pytorch_tabular"] = say("times as fast as PyTorch Tabular", tabular)
    return found


def whole(kept: pl.DataFrame, held: pl.DataFrame) -> float:
    """Accuracy of the exported graph of a training to its end."""
    return score(ours(kept, "classification", 0)(held), held["target"].to_numpy(), "classification")


def peak_memory() -> float:
    """MB of a process that trains for one epoch."""
    command = [sys.executable, __file__, "--one-epoch"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def one_epoch() -> None:
    kept, _ = halves(0)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        place = fit.Place(0, DEVICE, Path(folder))
        fit.fit(kept, "target", "classification", {"epochs": 1}, Path(folder), place)
    # Not ru_maxrss, which begins with what the process that started this one had.
    status = Path("/proc/self/status").read_text()
    print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def growth() -> None:
    print("growth, one epoch of 10 numeric columns, 8,192 rows at a time")
    for rows in (10_000, 100_000, 1_000_000, 10_000_000):
        random = np.random.default_rng(0)
        frame = pl.DataFrame({f"x{i}": random.normal(size=rows).astype(np.float32) for i in range(10)})
        frame = frame.with_columns(target=pl.col("x0") + pl.col("x1") > 0)
        chosen = options.Options(batch_size=8192)
        clock = time.perf_counter()
        prepared = prepare(frame, "target", "classification", chosen, 0, DEVICE)
        preparing = time.perf_counter() - clock
        run = loop.Loop(Network(prepared.columns, 2, chosen).to(DEVICE), prepared.training, chosen)
        clock = time.perf_counter()
        run.train_epoch()
        million = rows / 1e6
        print(
            f"  {rows:>12,} rows   preparation {preparing / million:6.2f} s"
            f"   epoch {(time.perf_counter() - clock) / million:6.2f} s   (a million rows)",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no training to its end")
    parser.add_argument("--one-epoch", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_epoch:
        one_epoch()
        return
    warnings.filterwarnings("ignore", module="sklearn")
    kept, held = halves(0)
    found = rates(kept, 3 if arguments.quick else 15)
    found |= times(kept, held, 1 if arguments.quick else 5, quick=arguments.quick)
    if not arguments.quick:
        found["accuracy"] = round(whole(kept, held) / 100, 4)
        growth()
    found["peak_memory_mb"] = round(peak_memory())
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu, not measured on a GPU"
    print(json.dumps(found | {"device": name, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
