"""The cost of the built-in trainer's loop, compared with the arithmetic alone and with other trainers.

    make .venv-benchmarks && .venv-benchmarks/bin/python benchmarks/training.py           some minutes
    make .venv-benchmarks && .venv-benchmarks/bin/python benchmarks/training.py --quick   under 50 s

All measurements use the example, UCI Adult, with a fifth of the rows for testing. The sides take turns.

- pure compute: the same number of steps of the same network and optimizer, on one prepared batch
- DataLoader: the same network, optimizer and batches, with rows from a shuffled TensorDataset; for the
  default network, and for a light one (a single perceptron, 64 wide), whose arithmetic hides less of it
- time to 0.85: seconds until the test rows are predicted with this accuracy, with the preparation of the
  data but without the scoring. scikit-learn's MLPClassifier trains epoch by epoch (partial_fit), its
  HistGradientBoosting ten trees at a time (warm_start), PyTorch Tabular's CategoryEmbeddingModel epoch by
  epoch (on the CPU, not with --quick)
- peak memory: of a process that trains for one epoch, including torch
- growth: seconds per million rows of 10 columns (not with --quick)

The last line is one JSON object. `vs_…` is how many times as fast ours is. `of_pure_compute` is its share
of that rate. `accuracy` is that of the test rows with the default settings (with --quick, when 0.85 is
reached). `device` is where it ran: with CUDA, the first two are measured on the GPU.
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

import numpy as np
import numpy.typing as npt
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
    """Train epoch by epoch, with the default settings and schedule."""
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
        accuracy = score(answers, held["target"].to_numpy(), "classification")
        if accuracy >= TARGET:
            return seconds, accuracy
    sys.exit(f"ours did not reach {TARGET} %")


def reach_perceptron(kept: pl.DataFrame, held: pl.DataFrame) -> Reach:
    texts = [name for name, dtype in kept.schema.items() if dtype == pl.String and name != "target"]
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
    texts = [name for name, dtype in kept.schema.items() if dtype == pl.String and name != "target"]
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


def _reach(
    seconds: float,
    train: Callable[[], None],
    answer: Callable[[], npt.NDArray[np.generic]],
    held: pl.DataFrame,
) -> Reach:
    """Train until the target is reached; NaN seconds if it is not."""
    accuracy = 0.0
    for _ in range(50):
        clock = time.perf_counter()
        train()
        seconds += time.perf_counter() - clock
        accuracy = score(answer(), held["target"].to_numpy(), "classification")
        if accuracy >= TARGET:
            return seconds, accuracy
    return float("nan"), accuracy


def times(kept: pl.DataFrame, held: pl.DataFrame, rounds: int, *, quick: bool) -> dict[str, float]:
    """Return how many times as fast ours reaches the target."""
    print(f"time to {TARGET:g} % of the test rows")
    reached: dict[str, list[Reach]] = {}
    sides = [reach_ours, reach_perceptron, reach_boosting]
    if not quick:  # imported late: with Lightning loaded, loops over small tensors have another speed
        sides.append(importlib.import_module("rivals.by_pytorch_tabular").reach_pytorch_tabular)
    for _ in range(rounds):
        for side in sides:
            reached.setdefault(side.__name__, []).append(side(kept, held))
    seconds = {name: [second for second, _ in reaches] for name, reaches in reached.items()}
    mine = seconds["reach_ours"]
    figures = {
        "vs_sklearn_mlp": say("times as fast as MLPClassifier", ratio(seconds["reach_perceptron"], mine)),
        "vs_hist_gradient_boosting": say(
            "times as fast as HistGradientBoosting", ratio(seconds["reach_boosting"], mine)
        ),
        "accuracy": round(reached["reach_ours"][0][1] / 100, 4),
    }
    if not quick:
        tabular = ratio(seconds["reach_pytorch_tabular"], mine)
        figures["vs_pytorch_tabular"] = say("times as fast as PyTorch Tabular", tabular)
    return figures


def whole(kept: pl.DataFrame, held: pl.DataFrame) -> float:
    """Return the accuracy of the exported graph of a complete training."""
    return score(ours(kept, "classification", 0)(held), held["target"].to_numpy(), "classification")


def peak_memory() -> float:
    """Return the peak memory in MB of a process that trains for one epoch."""
    command = [sys.executable, __file__, "--one-epoch"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def one_epoch() -> None:
    kept, _ = halves(0)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        place = fit.Place(0, DEVICE, Path(folder))
        fit.fit(kept, "target", "classification", {"epochs": 1}, Path(folder), place)
    # Not ru_maxrss, which includes the memory of the parent process.
    status = Path("/proc/self/status").read_text()
    print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def growth() -> None:
    """Print the seconds of preparation and epoch by the number of rows."""
    print("growth, one epoch of 10 numeric columns, in batches of 8,192 rows")
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
            f"   epoch {(time.perf_counter() - clock) / million:6.2f} s   (per million rows)",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and no complete training")
    parser.add_argument("--one-epoch", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one_epoch:
        one_epoch()
        return
    warnings.filterwarnings("ignore", module="sklearn")
    kept, held = halves(0)
    figures: dict[str, object] = {**rates(kept, 3 if arguments.quick else 15)}
    figures |= times(kept, held, 1 if arguments.quick else 5, quick=arguments.quick)
    if not arguments.quick:
        figures["accuracy"] = round(whole(kept, held) / 100, 4)
        growth()
    figures["peak_memory_mb"] = round(peak_memory())
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu, not measured on a GPU"
    print(json.dumps(figures | {"device": name, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
