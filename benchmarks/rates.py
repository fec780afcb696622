"""How fast the training loop goes, beside the same arithmetic alone and beside a DataLoader."""

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
    """UCI Adult: the rows to train on, and a fifth that is kept back."""
    rows = table("adult").rows
    kept, held = train_test_split(np.arange(rows.height), test_size=0.2, random_state=seed)
    return rows[kept], rows[held]


class Sides:
    """Epochs of the same network over the same rows, made in three ways."""

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
        self._loop.train_epoch()

    def pure(self) -> None:
        """As many steps on one batch that is there already; on a GPU, recorded and replayed as ours are."""
        for _ in range(self.steps):
            if self._replay:
                self._replay.do(self._step_alone)
            else:
                self._step_alone()
        _wait()

    def loader(self) -> None:
        """The batches from a shuffled TensorDataset, a step launched as usual."""
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


def rates(kept: pl.DataFrame, rounds: int) -> dict[str, float]:
    """Print and return them, for the default network and for one whose arithmetic hides less."""
    prepared = prepare(kept, "target", "classification", options.Options(), 0, DEVICE)
    found = {}
    for name, chosen in NETWORKS.items():
        sides = Sides(prepared, chosen)
        print(f"an epoch of {sides.steps} steps of the {name[1:] or 'default'} network, on {DEVICE}")
        for side in (sides.ours, sides.pure, sides.loader):
            side()  # what is built at first use is no round's
        seconds = alternate(rounds, ours=sides.ours, pure=sides.pure, loader=sides.loader)
        loader, pure = (ratio(seconds[side], seconds["ours"]) for side in ("loader", "pure"))
        found[f"vs_dataloader{name}"] = say("times as fast as a DataLoader", loader)
        found[f"of_pure_compute{name}"] = say("of the rate of pure compute", pure)
        found[f"samples_per_second{name}"] = round(
            len(prepared.training.target) / sorted(seconds["ours"])[rounds // 2]
        )
    return found
