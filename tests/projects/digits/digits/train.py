"""The training command: rows in; `model.onnx`, `metrics.json` and `history.csv` out."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from digits.model import SIDE, FromColumns, Network

TARGET = "digit"


def fit(
    frame: pl.DataFrame, config: dict[str, float], device: str
) -> tuple[Network, list[float]]:
    """Return a trained network, and the loss of each epoch."""
    pixels = frame.drop(TARGET).to_numpy().astype(np.float32) / 16
    pictures = torch.from_numpy(pixels).reshape(-1, 1, SIDE, SIDE)
    rows = TensorDataset(pictures, torch.from_numpy(frame[TARGET].to_numpy()))
    batches = DataLoader(rows, batch_size=int(config["batch_size"]), shuffle=True)
    network = Network().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config["learning_rate"])
    losses = []
    for epoch in range(1, int(config["epochs"]) + 1):
        total = 0.0
        for inputs, wanted in batches:
            loss = nn.functional.cross_entropy(
                network(inputs.to(device)), wanted.to(device)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(wanted)
        losses.append(total / len(rows))
        print(f"epoch {epoch}: loss {losses[-1]:.4f}", flush=True)
    return network, losses


def export(network: Network, columns: list[str], path: Path) -> None:
    """Write the graph; its inputs are named as the columns, and take any number of rows."""
    batch = torch.export.Dim("rows")
    torch.onnx.export(
        FromColumns(network.cpu().eval()),
        ([torch.zeros(2) for _ in columns],),
        path,
        input_names=columns,
        output_names=["prediction", "probabilities"],
        dynamic_shapes=([{0: batch} for _ in columns],),
        external_data=False,
    )


def main() -> None:
    """Train on ML_DATA as ML_CONFIG says; write to ML_OUTPUT."""
    torch.manual_seed(int(os.environ["ML_SEED"]))
    frame = pl.read_parquet(os.environ["ML_DATA"])
    config = json.loads(Path(os.environ["ML_CONFIG"]).read_text())
    output = Path(os.environ["ML_OUTPUT"])
    network, losses = fit(frame, config, os.environ["ML_DEVICE"])
    export(network, frame.drop(TARGET).columns, output / "model.onnx")
    (output / "metrics.json").write_text(json.dumps({"train_loss": losses[-1]}))
    with (output / "history.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "train_loss"])
        writer.writerows(enumerate(losses, start=1))


if __name__ == "__main__":
    main()
