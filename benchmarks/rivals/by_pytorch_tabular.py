"""PyTorch Tabular's network of embedded categories, at its defaults: how long until it is good enough."""

import contextlib
import logging
import tempfile
import time
import warnings
from typing import Any

import pandas as pd
import polars as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_tabular import TabularModel
from pytorch_tabular.config import DataConfig, OptimizerConfig, TrainerConfig
from pytorch_tabular.models import CategoryEmbeddingModelConfig
from quality import TARGET, Reach, score

EPOCHS = 20  # at most

warnings.filterwarnings("ignore", module="pytorch_tabular|pytorch_lightning|torch.utils.data")
LOUD = ("lightning.pytorch", "lightning.fabric", "pytorch_lightning", "lightning_fabric", "pytorch_tabular")
for logger in LOUD:
    logging.getLogger(logger).setLevel(logging.ERROR)


class Watch(Callback):
    """Score each epoch on rows that it has not seen, and end with the one that is good enough."""

    def __init__(self, model: TabularModel, held: pd.DataFrame) -> None:
        self._model, self._held = model, held
        self._truth = held["target"].to_numpy()
        self.scoring, self.score = 0.0, 0.0

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        clock = time.perf_counter()
        pl_module.eval()
        batches = self._model.datamodule.prepare_inference_dataloader(self._held)
        with torch.no_grad():
            indices = torch.cat([pl_module(batch)["logits"].argmax(1) for batch in batches])
        answers = self._model.datamodule.label_encoder[0].inverse_transform(indices.numpy())
        self.score = score(answers, self._truth, "classification")
        trainer.should_stop = self.score >= TARGET
        pl_module.train()
        self.scoring += time.perf_counter() - clock


def reach_pytorch_tabular(kept: pl.DataFrame, held: pl.DataFrame) -> Reach:
    """PyTorch Tabular's network of embedded categories, at its defaults."""
    texts = [name for name, kind in kept.schema.items() if kind == pl.String and name != "target"]
    numbers = [name for name in kept.columns if name not in [*texts, "target"]]
    clock = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # it leaves its logs behind
        model = TabularModel(
            data_config=DataConfig(target=["target"], continuous_cols=numbers, categorical_cols=texts),
            model_config=CategoryEmbeddingModelConfig(task="classification"),
            optimizer_config=OptimizerConfig(),
            trainer_config=TrainerConfig(
                max_epochs=EPOCHS, accelerator="cpu", early_stopping=None, checkpoints=None,
                progress_bar="none", trainer_kwargs={"enable_model_summary": False},
            ),
            verbose=False,
        )  # fmt: skip
        watch = Watch(model, held.to_pandas())
        model.fit(train=kept.to_pandas(), callbacks=[watch])
    seconds = time.perf_counter() - clock - watch.scoring
    if watch.score < TARGET:
        print(
            f"  PyTorch Tabular stands at {watch.score:.2f} % after {EPOCHS} epochs: its ratio is a least one"
        )
    return seconds, watch.score
