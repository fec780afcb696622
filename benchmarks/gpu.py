"""The built-in trainer on a GPU. Needs one; fails if one of the checks fails.

    make .venv-benchmarks && .venv-benchmarks/bin/python benchmarks/gpu.py      under three minutes

All measurements use the example, UCI Adult, with a fifth of the rows for testing. The sides take turns.

- rates: those of benchmarks/training.py. Our side and pure compute are recorded once and replayed (CUDA
  graphs); the DataLoader's side launches each operation of the same step.
- recorded or not: the same epochs, with each operation launched by itself
- AMP: the same trainings without it; the accuracy (mean over the seeds) and the time of an epoch
- the same weights: from two runs, from one whose steps are not recorded, and from one that is killed
  (SIGKILL) after an epoch and continues from its checkpoint
- memory too small for a batch: training starts once more with a quarter of the batch size
- growth: seconds per million rows of 10 columns, and the peak memory of the GPU

The last line is one JSON object.
"""

import contextlib
import hashlib
import io
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
import torch
from quality import ours, score
from rates import NETWORKS, halves, rates
from rounds import alternate, ratio, say, timed

from ml_pipeline.training.tabular import fit, loop, options
from ml_pipeline.training.tabular.network import Network
from ml_pipeline.training.tabular.prepare import Prepared, prepare
from ml_pipeline.training.tabular.world import Share

SEEDS = 5
ROUNDS = 7
WIDE = options.Options(width=1024, depth=2, batch_size=4096)
GIB = 2**30


class Unmixed(loop.Loop):
    """The loop without automatic mixed precision."""

    def _outputs(self, inputs: tuple[torch.Tensor, ...], share: Share | None = None) -> torch.Tensor:
        return self.network(*inputs, share).float()


class Launched:
    """Replaces `Replay`: each operation is launched by itself."""

    def do(self, work: Callable[[], object]) -> None:
        """Do the work once."""
        work()


def create(loop_type: type[loop.Loop], prepared: Prepared, chosen: options.Options) -> loop.Loop:
    """Return a new run on the GPU."""
    fit.make_deterministic(0, "cuda")
    network = Network(prepared.columns, prepared.outputs, chosen).to("cuda")
    return loop_type(network, prepared.training, chosen)


def epochs(kept: pl.DataFrame) -> dict[str, float]:
    """Compare an epoch with one that is not recorded, and with one without AMP."""
    figures = {}
    for name, chosen in {**NETWORKS, "_wide": WIDE}.items():
        prepared = prepare(kept, "target", "classification", chosen, 0, "cuda")
        with mock.patch.object(loop, "Replay", Launched):
            single = create(loop.Loop, prepared, chosen)
        sides = {
            "replayed": create(loop.Loop, prepared, chosen),
            "launched": single,
            "unmixed": create(Unmixed, prepared, chosen),
        }
        for side in sides.values():
            side.train_epoch()
        seconds = alternate(ROUNDS, **{name: side.train_epoch for name, side in sides.items()})
        print(f"an epoch of {sides['replayed'].steps} steps of the {name[1:] or 'default'} network")
        for side, what in (("launched", "as step by step"), ("unmixed", "as without AMP")):
            ratios = ratio(seconds[side], seconds["replayed"])
            figures[f"vs_{side}{name}"] = say(f"times as fast {what}", ratios)
    return figures


def amp(kept: pl.DataFrame, held: pl.DataFrame) -> dict[str, float]:
    """Return the accuracy of the exported model, with AMP and without."""
    truth = held["target"].to_numpy()
    scores: dict[str, list[float]] = {"amp": [], "float32": []}
    for seed in range(SEEDS):
        for name, loop_type in (("amp", loop.Loop), ("float32", Unmixed)):
            with mock.patch.object(loop, "Loop", loop_type):
                answer = ours(kept, "classification", seed, "cuda")
            scores[name].append(score(answer(held), truth, "classification"))
    for name, values in scores.items():
        print(f"  {name:46} {statistics.mean(values):8.2f} ± {statistics.stdev(values):.2f} %")
    return {f"accuracy_{name}": round(statistics.mean(values) / 100, 4) for name, values in scores.items()}


def weights(frame: pl.DataFrame) -> str:
    """Train four epochs, and return the weights' digest."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        place = fit.Place(0, "cuda", Path(folder) / "checkpoints")
        config = {"epochs": 4, "refit_rows": 0}
        details = fit.fit(frame, "target", "classification", config, Path(folder), place)
    return details["weights"]


def killed(frame: pl.DataFrame) -> str:
    """Return the digest of a run of the train stage that is killed in its third epoch and called again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame.write_parquet(folder / "train.parquet")
        config = {"epochs": 4, "refit_rows": 0}
        settings = {"target": "target", "task": "classification", "seed": 0, "config": config}
        (folder / "settings.json").write_text(json.dumps(settings))
        variables = {
            "ML_DATA": str(folder / "train.parquet"),
            "ML_OUTPUT": str(folder / "out"),
            "ML_DEVICE": "cuda",
            "ML_CHECKPOINTS": str(folder / "checkpoints"),
        }
        command = [sys.executable, "-m", "ml_pipeline.training.train", f"--config={folder / 'settings.json'}"]
        with _started(command, variables) as run:
            for line in run.stdout or []:
                if line.startswith("epoch 3 "):
                    run.send_signal(signal.SIGKILL)
                    break
        with _started(command, variables) as run:
            printed, _ = run.communicate()
        if run.returncode or "continuing after epoch" not in printed:
            sys.exit(f"the run that was killed did not continue:\n{printed}")
        return hashlib.sha256((folder / "out" / "weights.safetensors").read_bytes()).hexdigest()


@contextlib.contextmanager
def _started(command: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        yield run


def same_weights(kept: pl.DataFrame) -> None:
    """Check that equal runs give equal weights."""
    few = kept[:8_000]
    first, again = weights(few), weights(few)
    with mock.patch.object(loop, "Replay", Launched):
        single = weights(few)
    many = made_up(1_500_000)
    digests = {
        "a second run": first == again,
        "each operation launched by itself": first == single,
        "killed and continued": weights(many) == killed(many),
    }
    for name, equal in digests.items():
        print(f"  {name:46} {'the same weights' if equal else 'OTHER WEIGHTS'}")
    if not all(digests.values()):
        sys.exit("equal runs gave other weights")


def too_little_memory() -> None:
    """Check that a batch that is too large is made smaller."""
    frame = made_up(500_000)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(6 * GIB / torch.cuda.get_device_properties(0).total_memory)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as printed:
        place = fit.Place(0, "cuda", Path(folder))
        fit.fit(frame, "target", "classification", {"epochs": 1, "batch_size": 500_000}, Path(folder), place)
    torch.cuda.set_per_process_memory_fraction(1.0)
    lines = [line for line in printed.getvalue().splitlines() if line.startswith("out of memory")]
    if lines != ["out of memory on cuda: training again with batches of 106250 rows"]:
        sys.exit(f"with 6 GiB of memory it printed {lines}")
    print(f"  {lines[0]}")


def made_up(rows: int) -> pl.DataFrame:
    """Return rows of ten random columns, whose target follows from two of them."""
    random = np.random.default_rng(0)
    frame = pl.DataFrame({f"x{i}": random.normal(size=rows).astype(np.float32) for i in range(10)})
    return frame.with_columns(target=pl.col("x0") + pl.col("x1") > 0)


def growth() -> None:
    """Print the seconds of an epoch and the peak memory by the number of rows."""
    for rows in (10_000, 100_000, 1_000_000, 10_000_000):
        _forget()
        seconds = _second_epoch(rows)
        print(
            f"  {rows:>12,} rows   epoch {seconds / rows * 1e6:6.3f} s per million rows   {_peak():8,.0f} MiB"
        )


def _second_epoch(rows: int) -> float:
    chosen = options.Options(batch_size=8192)
    run = create(loop.Loop, prepare(made_up(rows), "target", "classification", chosen, 0, "cuda"), chosen)
    run.train_epoch()  # the first epoch records the step
    return timed(run.train_epoch)


def peak_memory(kept: pl.DataFrame) -> float:
    """Return the peak GPU memory in MiB of a training on the example."""
    _forget()
    ours(kept, "classification", 0, "cuda")
    return _peak()


def _forget() -> None:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def _peak() -> float:
    return float(torch.cuda.max_memory_reserved() / 2**20)


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit("this benchmark needs a GPU")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    kept, held = halves(0)
    # Measured first, before other work has used memory.
    figures: dict[str, float] = {"peak_gpu_memory_mib": round(peak_memory(kept))}
    print(f"peak memory of the GPU: {figures['peak_gpu_memory_mib']:,} MiB")
    print("growth, in batches of 8,192 rows")
    growth()
    figures |= rates(kept, ROUNDS)
    figures |= epochs(kept)
    print("accuracy")
    figures |= amp(kept, held)
    print("equal runs")
    same_weights(kept)
    print("6 GiB of memory")
    too_little_memory()
    print(json.dumps(figures | {"device": torch.cuda.get_device_name(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
