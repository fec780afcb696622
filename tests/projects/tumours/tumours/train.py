"""The training command: rows in, `model.onnx`, `metrics.json` and `history.csv` out."""

import csv
import json
import os
from pathlib import Path

import onnx
import polars as pl

from tumours.model import fit, graph

TARGET, CLASSES = "diagnosis", ["benign", "malignant"]


def main() -> None:
    """Train on ML_DATA as ML_CONFIG says; write to ML_OUTPUT."""
    frame = pl.read_parquet(os.environ["ML_DATA"])
    config = json.loads(Path(os.environ["ML_CONFIG"]).read_text())
    output = Path(os.environ["ML_OUTPUT"])
    columns = [name for name in frame.columns if name != TARGET]
    rows = frame.select(columns).to_numpy().astype("float64")
    answers = (frame[TARGET] == CLASSES[1]).to_numpy().astype("float64")
    model, losses = fit(rows, answers, config["steps"], config["learning_rate"])
    onnx.save(graph(model, columns, CLASSES), output / "model.onnx")
    (output / "metrics.json").write_text(json.dumps({"train_loss": losses[-1]}))
    with (output / "history.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "train_loss"])
        writer.writerows(enumerate(losses, start=1))
    print(f"{len(losses)} steps, loss {losses[-1]:.4f}")


if __name__ == "__main__":
    main()
