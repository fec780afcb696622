"""The training loop: all rows are on the device, and an epoch is one permutation of their indices."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from ml_pipeline.common.outcome import StageFailure
from ml_pipeline.training.tabular.checkpoints import Checkpoints, State
from ml_pipeline.training.tabular.network import Network
from ml_pipeline.training.tabular.options import Options, sizes
from ml_pipeline.training.tabular.prepare import Rows
from ml_pipeline.training.tabular.replay import Replay
from ml_pipeline.training.tabular.scoring import score
from ml_pipeline.training.tabular.world import ALONE, Share, World

HINT = "lower train.config.learning_rate, or check the data"


@dataclass(frozen=True)
class Epoch:
    """One epoch's figures; losses are log loss or mean squared error of the scaled target."""

    epoch: int
    train_loss: float  # mean over the epoch of the members' own losses, with dropout
    validation_loss: float  # of the ensemble
    validation_score: float  # accuracy, or R² against the training rows' variance
    learning_rate: float
    samples_per_second: float


class Loop:
    """One run over the epochs. Its state between two epochs is what a checkpoint has."""

    def __init__(
        self,
        network: Network,
        training: Rows,
        options: Options,
        weights: Tensor | None = None,
        world: World = ALONE,
    ) -> None:
        """Create a run. `weights`, float32 [C], are the classes' parts in the loss; None: all the same.

        All processes of `world` must create the same run: the same rows, the same network.
        """
        self.network = network
        self.history: list[Epoch] = []
        self._training = training
        self._options = options
        self._class_weights = weights
        self._world = world
        self._best = 0
        self._best_state = copy.deepcopy(network.state_dict())
        on_gpu = training.target.is_cuda
        self._optimizer = torch.optim.AdamW(
            network.parameter_groups(options.weight_decay),
            lr=options.learning_rate,
            fused=True,
            capturable=on_gpu,
        )
        rows, device = training.target.shape[0], training.target.device
        most, self.epochs = sizes(rows, options)
        self.steps = math.ceil(rows / most)  # of an epoch
        self.batch = math.ceil(
            rows / self.steps
        )  # batches have the same size, so an epoch has a few rows twice
        # The tensors that a step reads and writes stay the same, so that a GPU can replay it.
        self._order = torch.zeros(self.steps, self.batch, dtype=torch.int64, device=device)
        self._rates = torch.zeros(self.steps, device=device)
        self._place = torch.zeros(1, dtype=torch.int64, device=device)
        self._total = torch.zeros((), device=device)
        self._replay = Replay() if on_gpu else None

    def run(
        self, validation: Rows, checkpoints: Checkpoints, key: str, progress: Callable[[Epoch, float], None]
    ) -> list[Epoch]:
        """Train in place; finish with the weights of the best validation loss. Return all epochs.

        If there is a checkpoint with the same `key`, continue from it. `progress` is called after each
        epoch, with an upper bound of the remaining seconds. Raises StageFailure when a loss is not finite;
        the checkpoint is then from the last good epoch.
        """
        if saved := checkpoints.load(key):
            self._resume(saved)
            print(f"continuing after epoch {len(self.history)} from the checkpoint", flush=True)
        while len(self.history) < self.epochs and len(self.history) - 1 - self._best < self._options.patience:
            clock = time.monotonic()
            self._epoch(validation)
            done = len(self.history)
            last = self.history[-1]
            if not math.isfinite(last.train_loss) or not math.isfinite(last.validation_loss):
                raise StageFailure(f"the loss is not finite in epoch {done}", HINT)
            progress(last, (self.epochs - done) * (time.monotonic() - clock))
            if done == 1 or last.validation_loss < self.history[self._best].validation_loss:
                self._best, self._best_state = done - 1, copy.deepcopy(self.network.state_dict())
            checkpoints.save(key, self._state())
        self.network.load_state_dict(self._best_state)
        return self.history

    def run_without_validation(self) -> None:
        """Train in place for all epochs, without validation rows. Raises StageFailure."""
        for epoch in range(1, self.epochs + 1):
            loss, speed = self.train_epoch()
            if not math.isfinite(loss):
                raise StageFailure(f"the loss is not finite in epoch {epoch} of the second training", HINT)
            self.history.append(Epoch(epoch, loss, math.nan, math.nan, self._rate(self.steps - 1), speed))

    def train_epoch(self) -> tuple[float, float]:
        """Go over the training rows once, in a new order; return the mean loss and the rows per second."""
        clock = time.monotonic()
        rows, device = self._training.target.shape[0], self._training.target.device
        self.network.train()
        order = self._world.same_order(torch.randperm(rows, device=device))
        again = order[: self._order.numel() - rows]
        self._order.copy_(torch.cat([order, again]).view_as(self._order))
        self._rates.copy_(torch.tensor([self._rate(step) for step in range(self.steps)]))
        self._place.zero_()
        self._total.zero_()
        for _ in range(self.steps):
            if self._replay:
                self._replay.do(self._step_at_place)
            else:
                self._step_at_place()
        mean = self._total.item() / self.steps  # waits for the device, so that the time below is right
        return mean, self._order.numel() / (time.monotonic() - clock)

    def step(self, batch: Rows, rate: Tensor) -> Tensor:
        """Take one step of the optimizer with a learning rate, float32 []; return the loss, on the device."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss = self._loss(batch) if self._world.size == 1 else self._loss_of_share(batch)
        self._optimizer.zero_grad()
        loss.backward()
        loss = loss.detach()
        self._world.add([loss, *(v.grad for v in self.network.parameters() if v.grad is not None)])
        self._optimizer.step()
        return loss

    def _step_at_place(self) -> None:
        """Take the epoch's next step, without waiting for the device."""
        chosen = self._order.index_select(0, self._place).squeeze(0)
        rate = self._rates.index_select(0, self._place).squeeze(0)
        self._total += self.step(self._training.at(chosen), rate)
        self._place += 1

    def _rate(self, step: int) -> float:
        """Return the learning rate of a step of the current epoch."""
        place = len(self.history) * self.steps + step
        return learning_rate(place, self.epochs * self.steps, self._options.learning_rate)

    def _loss(self, batch: Rows) -> Tensor:
        return _loss(self._outputs(batch.inputs), batch.target, self._class_weights)

    def _loss_of_share(self, batch: Rows) -> Tensor:
        """Return this process's part of the batch's mean loss, a summand; a share may be empty."""
        share = self._world.share(batch.target.shape[0])
        outputs = self._outputs(tuple(part[share.mine] for part in batch.inputs), share)
        target, weights = batch.target[share.mine], self._class_weights
        if not target.shape[0]:
            return outputs.sum()
        each = torch.ones_like(batch.target) if weights is None else weights[batch.target]
        return _loss(outputs, target, weights) * (each[share.mine].sum() / each.sum())

    def _outputs(self, inputs: tuple[Tensor, ...], share: Share | None = None) -> Tensor:
        device = inputs[0].device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return self.network(*inputs, share).float()

    def _epoch(self, validation: Rows) -> None:
        train_loss, speed = self.train_epoch()
        loss_and_score = score(self.network, validation, self._class_weights, self._world)
        figures = self._world.agreed(train_loss, *loss_and_score, self._rate(self.steps - 1), speed)
        self.history.append(Epoch(len(self.history) + 1, *figures))

    def _state(self) -> State:
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self._best_state.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self._training.target.is_cuda:
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        for index, values in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
        return State(tensors, {"history": [asdict(epoch) for epoch in self.history], "best": self._best})

    def _resume(self, saved: State) -> None:
        def under(prefix: str) -> dict[str, Tensor]:
            return {
                name.removeprefix(prefix): value
                for name, value in saved.tensors.items()
                if name.startswith(prefix)
            }

        self.history = [Epoch(**epoch) for epoch in saved.facts["history"]]
        self._best = saved.facts["best"]
        self.network.load_state_dict(under("network."))
        self._best_state = under("best.")
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in under("optimizer.").items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        torch.set_rng_state(saved.tensors["random.cpu"])
        if self._training.target.is_cuda:
            torch.cuda.set_rng_state(saved.tensors["random.cuda"])


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """Return the epoch with the smallest validation loss, the first of several such."""
    return min(history, key=lambda epoch: epoch.validation_loss)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the rate at a step of one cycle.

    It rises along a cosine from 1/25 of the peak to the peak in a tenth of the steps, and falls to 1/250,000.
    Smith, Topin, "Super-Convergence" (arXiv:1708.07120).
    """
    rise = 0.1 * steps - 1
    if step <= rise:
        low, place = peak / 25, step / rise if rise else 1.0
    else:
        low, place = peak / 250_000, 1 - (step - rise) / max(steps - 1 - rise, 1)
    return low + (peak - low) * (1 - math.cos(math.pi * place)) / 2


def _loss(outputs: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of the members' own losses: each must predict well by itself."""
    members = outputs.shape[0]
    if target.dtype == torch.int64:
        return torch.nn.functional.cross_entropy(outputs.flatten(0, 1), target.repeat(members), weights)
    return torch.nn.functional.mse_loss(outputs.squeeze(2), target.expand(members, -1))
