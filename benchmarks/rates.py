"""The speed of the training loop, compared with the arithmetic alone and with a DataLoader."""

import numpy as np
import polars as pl
import torch
from quality import table
from rounds import alternate, ratio, say
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from ml_pipeline.training.tabular import fit, loop, options
from ml_pipeline.training.tabular.network import Network
from ml_pipeline.training.tabular.prepare import Prepared, Rows, prepare
from ml_pipeline.training.tabular.replay import Replay

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
NETWORKS = {"": options.Options(), "_light": options.Options(width=64, members=1)}


def halves(seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the training rows of UCI Adult, and a fifth of the rows for testing."""
    rows = table("adult").rows
    train, test = train_test_split(np.arange(rows.height), test_size=0.2, random_state=seed)
    return rows[train], rows[test]


class Sides:
    """Epochs of the same network over the same rows, run in three ways."""

    def __init__(self, prepared: Prepared, chosen: options.Options) -> None:
        self._prepared = prepared
        self._chosen = chosen
        self._loop = self._made()
        self._pure = self._made()
        self._loader = self._made()
        self._rate = torch.tensor(1e-3, device=DEVICE)
        self._batch = prepared.training.at(torch.arange(self._loop.batch, device=DEVICE))
        self._replay = Replay() if DEVICE == "cuda" else None
        rows = prepared.training
        self._on_host = TensorDataset(*[part.cpu() for part in (*rows.inputs, rows.target)])
        self.steps = self._loop.steps

    def _made(self) -> loop.Loop:
        fit.make_deterministic(0, DEVICE)
        network = Network(self._prepared.columns, self._prepared.outputs, self._chosen).to(DEVICE)
        return loop.Loop(network.train(), self._prepared.training, self._chosen)

    def ours(self) -> None:
        """The trainer's own epoch."""
        self._loop.train_epoch()

    def pure(self) -> None:
        """The same number of steps on one prepared batch; on a GPU, recorded and replayed like ours."""
        for _ in range(self.steps):
            if self._replay:
                self._replay.do(self._step_alone)
            else:
                self._step_alone()
        _wait()

    def loader(self) -> None:
        """The batches from a shuffled TensorDataset, without a recorded step."""
        rows = DataLoader(self._on_host, batch_size=self._loop.batch, shuffle=True)
        for *inputs, target in rows:
            batch = Rows(tuple(part.to(DEVICE) for part in inputs), target.to(DEVICE))
            self._loader.step(batch, self._rate)
        _wait()

    def _step_alone(self) -> Tensor:
        return self._pure.step(self._batch, self._rate)


def _wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def rates(rows: pl.DataFrame, rounds: int) -> dict[str, float]:
    """Print and return the rates of the default network and of a light one."""
    prepared = prepare(rows, "target", "classification", options.Options(), 0, DEVICE)
    figures = {}
    for name, chosen in NETWORKS.items():
        sides = Sides(prepared, chosen)
        print(f"an epoch of {sides.steps} steps of the {name[1:] or 'default'} network, on {DEVICE}")
        for side in (sides.ours, sides.pure, sides.loader):
            side()  # the first epoch also builds things, so it does not count
        seconds = alternate(rounds, ours=sides.ours, pure=sides.pure, loader=sides.loader)
        loader, pure = (ratio(seconds[side], seconds["ours"]) for side in ("loader", "pure"))
        figures[f"vs_dataloader{name}"] = say("times as fast as a DataLoader", loader)
        figures[f"of_pure_compute{name}"] = say("of the rate of pure compute", pure)
        figures[f"samples_per_second{name}"] = round(
            len(prepared.training.target) / sorted(seconds["ours"])[rounds // 2]
        )
    return figures
